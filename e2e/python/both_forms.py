"""Runs one scene with the unmodified Python SDK twice, in its sync and its async form, and prints what each saw as one line of JSON.

A scene is written once: `await of(call)` takes the value of a sync call as it is and awaits that of an async one.
"""
import asyncio
import inspect
import json
import os

from daytona import AsyncDaytona, CreateSandboxFromSnapshotParams, Daytona, DaytonaConfig

config = DaytonaConfig(api_key=os.environ["DAYTONA_API_KEY"], api_url=os.environ["DAYTONA_API_URL"])


async def of(value):
    return await value if inspect.isawaitable(value) else value


async def error_of(call):
    """Name of the class that a call raises, None when it raises nothing."""
    try:
        await of(call())
        return None
    except Exception as error:  # the class is what is looked at
        return type(error).__name__


async def in_both_forms(scene):
    seen = {}
    daytona = Daytona(config)
    seen["sync"] = await in_a_sandbox(daytona, scene)
    async with AsyncDaytona(config) as daytona:
        seen["async"] = await in_a_sandbox(daytona, scene)
    return seen


async def in_a_sandbox(daytona, scene):
    snapshot = os.environ.get("PADDOCK_TEST_SNAPSHOT")
    sandbox = await of(daytona.create(CreateSandboxFromSnapshotParams(snapshot=snapshot) if snapshot else None))
    try:
        return await scene(sandbox)
    finally:
        await of(sandbox.delete())


def play(scene):
    print(json.dumps(asyncio.run(in_both_forms(scene))))
