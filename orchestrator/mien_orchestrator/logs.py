"""Log lines, as text for people or JSON for machines. Images, answers and tokens are never logged."""

import json
import logging
from datetime import UTC, datetime

from mien_orchestrator import call
from mien_orchestrator.settings import Settings

_TEXT = "%(asctime)s %(levelname)s %(name)s [%(request_id)s]: %(message)s"

_OURS = ("mien_models", "mien_orchestrator", "mien_workers")


class _CallFilter(logging.Filter):
    """Puts the call under way on each record."""

    def filter(self, record: logging.LogRecord) -> bool:
        current = call.current()
        record.request_id = current.request_id if current else "-"
        record.caller = current.caller if current else ""
        return True


class JsonFormatter(logging.Formatter):
    """One JSON object a line; `extra={"fields": {...}}` of a log call adds fields of its own."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record's line."""
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


def handler(settings: Settings) -> logging.Handler:
    """Return what writes log lines to standard error, in the settings' format."""
    made = logging.StreamHandler()
    made.addFilter(_CallFilter())
    made.setFormatter(JsonFormatter() if settings.log_format == "json" else logging.Formatter(_TEXT))
    return made


def configure(settings: Settings) -> None:
    """Write this process's log as the settings say; other packages are heard from warnings up."""
    logging.basicConfig(level=logging.WARNING, handlers=[handler(settings)], force=True)
    for name in _OURS:
        logging.getLogger(name).setLevel(settings.log_level.upper())
