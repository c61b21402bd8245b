"""An asyncio worker for RQ 3.0 that stands alone: many jobs at once on one event loop, RQ's life cycle in Redis."""

from app.rqworker.worker import AsyncWorker

__all__ = ["AsyncWorker"]
