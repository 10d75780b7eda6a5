"""Analyze several photographs at once with asyncio: python examples/async_client.py localhost:50051 *.jpg"""

import asyncio
import sys

import mien

CONCURRENCY = 8
"""Calls in flight. More only wait in the server's queue."""


async def main(server: str, *photos: str) -> None:
    """Print each photograph's faces in the order of the arguments."""
    room = asyncio.Semaphore(CONCURRENCY)
    async with mien.AsyncClient(server) as client:

        async def analyze(photo: str) -> mien.Analysis:
            async with room:
                return await client.analyze(photo)

        for photo, analysis in zip(photos, await asyncio.gather(*map(analyze, photos)), strict=True):
            print(f"{photo}: {analysis}")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
