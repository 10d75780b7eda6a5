"""Logging, as text or JSON lines. Images, results and tokens are never logged."""

import json
import logging
import re
import sys
from datetime import UTC, datetime

import grpc

from mien_orchestrator.pipeline import request_context
from mien_orchestrator.pipeline.request_context import RequestContext
from mien_orchestrator.settings import Settings
from mien_orchestrator.telemetry.observer import End

_LOG = logging.getLogger(__name__)

_TEXT = "%(asctime)s %(levelname)s %(name)s [%(request_id)s]: %(message)s"

_OURS = ("mien_models", "mien_orchestrator", "mien_workers")


_TRACE_ID = re.compile(r"00-([0-9a-f]{32})-")
"""Format of the W3C header traceparent, version 00."""

_OUR_FAULT = (grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL, grpc.StatusCode.DATA_LOSS)


class _CallFilter(logging.Filter):
    """Adds the current call's ids to each record."""

    def filter(self, record: logging.LogRecord) -> bool:
        current = request_context.current()
        record.request_id = current.request_id if current else "-"
        record.caller = current.caller if current else ""
        return True


class JsonFormatter(logging.Formatter):
    """Formats one JSON object per line; `extra={"fields": {...}}` of a log call adds fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Format the record."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        for name in ("request_id", "caller"):
            if getattr(record, name, "-") not in ("", "-"):
                line[name] = getattr(record, name)
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def handler(settings: Settings, made: logging.Handler | None = None) -> logging.Handler:
    """Return a handler in the settings' format; without one, it writes to standard error."""
    made = made or logging.StreamHandler(sys.__stderr__)  # Serve replaces sys.stderr by a logger with its own level
    made.addFilter(_CallFilter())
    made.setFormatter(JsonFormatter() if settings.telemetry.log_format == "json" else logging.Formatter(_TEXT))
    return made


def configure(settings: Settings, made: logging.Handler | None = None) -> None:
    """Configure logging for this process; other packages log from warnings up.

    Args:
        settings: Format and level.
        made: Where lines go; None for standard error.

    """
    logging.basicConfig(level=logging.WARNING, handlers=[handler(settings, made)], force=True)
    for name in _OURS:
        logging.getLogger(name).setLevel(settings.telemetry.log_level.upper())


class CallLog:
    """Logs one line per call, at its end; see `Observer`."""

    def began(self, context: RequestContext) -> None:
        """Do nothing."""

    def ended(self, context: RequestContext, end: End) -> None:
        """Log the call: as a warning for server errors, at debug level for probes."""
        level = logging.WARNING if end.code in _OUR_FAULT else logging.INFO if context.is_ours else logging.DEBUG
        if _LOG.isEnabledFor(level):
            elapsed_ms = round(end.seconds * 1e3, 3)
            fields: dict[str, object] = {"method": context.method, "code": end.code.name, "elapsed_ms": elapsed_ms}
            text = end.code.name
            if context.protocol != "grpc":
                fields["protocol"] = context.protocol
            if context.reason:
                fields["reason"] = context.reason
                text += f" ({context.reason})"
            if end.reply:
                fields["faces"] = len(end.reply.faces)
                text += f", {len(end.reply.faces)} faces"
            if context.caller:
                text += f", called by {context.caller}"
            trace = _TRACE_ID.match(context.metadata.get("traceparent", ""))
            if trace:
                fields["trace_id"] = trace[1]
            _LOG.log(level, "%s %s in %.1f ms", context.method, text, elapsed_ms, extra={"fields": fields})
