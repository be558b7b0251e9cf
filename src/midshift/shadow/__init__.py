"""Stage three: how the candidate's answers differ from the incumbent's, whether or not they are better.

features  what is measured on one text: length, form, opening and closing
columns   the features of many pairs, without their texts
drift     columns to findings: each with an interval, a controlled test and examples
"""
