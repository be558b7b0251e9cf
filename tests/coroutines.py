"""Runs tests that are coroutines, on the loop that a gateway runs on."""

import asyncio
import inspect

import pytest
import uvloop

LONGEST_S = 20.0


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """A coroutine is run to its end; one that waits for what never happens fails instead of hanging."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in inspect.signature(pyfuncitem.obj).parameters}

    async def scenario() -> None:
        async with asyncio.timeout(LONGEST_S):
            await pyfuncitem.obj(**arguments)

    uvloop.run(scenario())
    return True
