"""Runs tests that are coroutines, on the loop that a gateway runs on."""

import asyncio
import inspect

import pytest
import uvloop

LONGEST_S = 60.0
"""Far more than any test needs, on a machine that does other things as well: it ends those that wait for ever."""

LONGEST_HEAVY_S = 300.0
"""For those marked heavy, which begin large programs that nobody here wrote."""


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """A coroutine is run to its end; one that waits for what never happens fails instead of hanging."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in inspect.signature(pyfuncitem.obj).parameters}

    longest_s = LONGEST_HEAVY_S if pyfuncitem.get_closest_marker("heavy") else LONGEST_S

    async def scenario() -> None:
        async with asyncio.timeout(longest_s):
            await pyfuncitem.obj(**arguments)

    uvloop.run(scenario())
    return True
