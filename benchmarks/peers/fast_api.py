"""FastAPI under uvicorn, one worker process per core: uvicorn peers.fast_api:app --workers CORES."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Body, FastAPI

from pipeline import Pipeline, Reply

pipelines: list[Pipeline] = []


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Load the models, once per worker."""
    pipelines.append(Pipeline())
    yield
    pipelines.clear()


app = FastAPI(lifespan=lifespan)


@app.post("/analyze")
def analyze(image: Annotated[bytes, Body(media_type="application/octet-stream")]) -> Reply:
    """Analyze one image; a plain `def`, which FastAPI runs on a thread."""
    return pipelines[0].analyze(image)
