"""Uploads build contexts with the SDK's own code, sync and async, plain and over HTTPS. Prints one JSON object of what it saw."""
import asyncio
import json
import os
import tempfile

from daytona import AsyncDaytona, Daytona, DaytonaConfig, Image
from daytona._async.snapshot import AsyncSnapshotService
from daytona._sync.object_storage import ObjectStorage
from daytona._sync.snapshot import SnapshotService

config = DaytonaConfig(api_key=os.environ["DAYTONA_API_KEY"], api_url=os.environ["DAYTONA_API_URL"])
seen = {}

folder = tempfile.mkdtemp()
with open(f"{folder}/big.bin", "wb") as file:
    file.write(os.urandom(12_000_000))  # three parts
with open(f"{folder}/small.txt", "w") as file:
    file.write("hello")
image = Image.base("debian:trixie").add_local_dir(folder, "/opt/data").add_local_file(f"{folder}/small.txt", "/opt/small.txt")


def sync_form():
    daytona = Daytona(config)
    seen["hashes"] = hashes = SnapshotService.process_image_context(daytona._object_storage_api, image)
    access = daytona._object_storage_api.get_push_access()
    seen["storage"] = access.storage_url
    storage = ObjectStorage(access.storage_url, access.access_key, access.secret, access.session_token, access.bucket, region=access.region)
    heads = [storage.store.head(f"{access.organization_id}/{each}/context.tar") for each in hashes]
    seen["sizes"] = [head["size"] for head in heads]
    again = SnapshotService.process_image_context(daytona._object_storage_api, image)
    seen["once"] = again == hashes and [storage.store.head(f"{access.organization_id}/{each}/context.tar")["last_modified"] for each in hashes] == [head["last_modified"] for head in heads]
    try:
        storage.store.head("someone-else/h/context.tar")
    except Exception as error:
        seen["others"] = type(error).__name__


async def async_form():
    async with AsyncDaytona(config) as daytona:
        seen["async"] = await AsyncSnapshotService.process_image_context(daytona._object_storage_api, image) == seen["hashes"]


try:
    sync_form()
    asyncio.run(async_form())
except Exception as error:
    seen["refused"] = str(error)
print(json.dumps(seen))
