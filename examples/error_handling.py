"""Handle each kind of failure: python examples/error_handling.py localhost:50051 photo.jpg ..."""

import sys

import mien


def report(client: mien.Client, photo: str) -> str:
    """Return one line for a photograph: its faces, or what went wrong and whose task it is to fix it."""
    try:
        analysis = client.analyze(photo, timeout=10)
    except mien.ImageError as error:  # this file; the next one may work
        return f"skipped: {error.reason}: {error.message}"
    except mien.OverloadedError as error:  # after the SDK's own retries, which last up to 10 seconds
        return f"later: the server has too much to do; try again in {error.retry_after or 1} s"
    except (mien.DeadlineExceededError, mien.ServerUnavailableError) as error:
        return f"later: {error.message}"
    except mien.MienError as error:  # any other: a wrong argument, a missing token, a fault of the server
        return f"failed: {error.code} {error.message} (request {error.request_id})"
    failed = [f"{task.task}: {task.code}" for task in analysis.tasks if not task.ok]
    return f"{len(analysis.faces)} faces" + (f", without {', '.join(failed)}" if failed else "")


def main(server: str, *photos: str) -> None:
    """Print one line per photograph."""
    with mien.Client(server) as client:
        for photo in photos:
            print(f"{photo}: {report(client, photo)}")


if __name__ == "__main__":
    main(*sys.argv[1:])
