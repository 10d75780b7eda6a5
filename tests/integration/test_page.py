"""Tests of the page in headless Chromium: the actions of a visitor, the result, and the requests of the browser."""

import shutil
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image, ImageFilter

from mien.v1 import face_service_pb2 as pb
from mien_orchestrator.build import make_executor, make_inline_service
from mien_orchestrator.edge.auth.tokens import token_line
from mien_orchestrator.pipeline.service import FaceAnalysis
from mien_orchestrator.settings import Settings
from mien_orchestrator.telemetry.metrics import make_metrics
from tests.photographs import EXAMPLE, encoded
from tests.servers import running_server
from tests.waits import wait_until

sync_api = pytest.importorskip("playwright.sync_api", reason="needs Playwright (extra dev)")
if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not CHROMIUM, reason="needs Chromium (Debian: chromium)")]

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
]

SECONDS = 20
SIZES = {"desktop": (1280, 900), "phone": (360, 740)}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    settings = Settings.load({"server.port": 0, "http.port": 0, "server.drain_s": 1, "models.selectable": True})
    with make_executor(settings) as seeing, make_executor(settings) as computing:
        service = make_inline_service(settings, seeing, computing, pb.DEPLOYMENT_MODE_SINGLE)
        with running_server(service, settings, make_metrics(settings)) as server:
            yield server.http_address


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Browser"]:
    """Chromium with a camera that shows the example."""
    film = tmp_path_factory.mktemp("camera") / "example.mjpeg"
    with Image.open(EXAMPLE) as file:
        film.write_bytes(encoded(file.convert("RGB"), "JPEG", quality=95) * 10)
    with sync_api.sync_playwright() as playwright:
        flags = [*FLAGS, f"--use-file-for-fake-video-capture={film}"]
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield started
        started.close()


class Visit:
    """A visit to the page, with what the browser reported."""

    def __init__(self, browser: "Browser", url: str, *, scheme: str = "light", size: str = "desktop") -> None:
        width, height = SIZES[size]
        self._context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, permissions=["camera"]
        )
        self._context.set_default_timeout(SECONDS * 1e3)
        self.page: Page = self._context.new_page()
        self.messages: list[str] = []
        self.elsewhere: list[str] = []
        self.page.on("console", lambda message: self.messages.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.messages.append(str(error)))
        self.page.on("request", lambda request: self._note(request.url, url))
        self.page.goto(url)
        self.wait("document.querySelector('#server').textContent !== 'Connecting …'")

    def _note(self, requested: str, own: str) -> None:
        if not requested.startswith((f"{own}/", "blob:", "data:")):
            self.elsewhere.append(requested)

    def wait(self, condition: str) -> None:
        """Wait for a condition of JavaScript; the page's own policy forbids Playwright to do it by `eval`."""
        wait_until(lambda: self.page.evaluate(condition), SECONDS, condition)

    def choose(self, image: bytes, name: str = "photo.jpg") -> None:
        """Choose a file, and wait until the answer is shown."""
        self.page.set_input_files("#file", {"name": name, "mimeType": "image/jpeg", "buffer": image})
        self.settle()

    def settle(self) -> None:
        self.wait(
            "!document.querySelector('#result').hasAttribute('aria-busy')"
            " && document.querySelector('#status').textContent !== 'No photograph yet.'"
        )

    def text(self, selector: str) -> str:
        return self.page.inner_text(selector)

    def close(self) -> None:
        self._context.close()


@pytest.fixture
def visit(browser: "Browser", url: str) -> Iterator[Visit]:
    """A visit that loads nothing from elsewhere and ends without a message in the console."""
    visited = Visit(browser, url)
    yield visited
    visited.close()
    assert visited.elsewhere == []
    assert visited.messages == []


def photograph(blurred: float = 0) -> bytes:
    with Image.open(EXAMPLE) as file:
        return encoded(file.convert("RGB").filter(ImageFilter.GaussianBlur(blurred)), "PNG")


def test_a_chosen_photograph_is_analyzed(visit: Visit) -> None:
    visit.choose(EXAMPLE.read_bytes(), "astronaut.jpg")
    assert visit.text("#status") == "1 face, in 512 by 512 pixels of JPEG."
    card = visit.text(".face")
    assert "about 2" in card
    assert "female" in card
    assert "excited" in card
    assert visit.page.locator(".bars tr").count() == 7
    assert visit.page.locator(".picture rect").count() == 2
    assert "decode" in visit.text("#waterfall")
    assert visit.page.locator(".step.critical").count() >= 4
    assert "The reply waited for" in visit.text("#timing-text")
    assert "@astronaut.jpg" in visit.text("#snippet")
    assert '"detection_score"' in (visit.page.text_content("#json") or "")


def test_boxes_lie_over_the_faces(visit: Visit) -> None:
    visit.choose(EXAMPLE.read_bytes())
    picture = visit.page.locator("#answers .picture")
    shown, layer, box = (picture.locator(part).first.bounding_box() for part in ("img", "svg", "rect"))
    assert shown
    assert layer
    assert box
    assert [layer[side] for side in layer] == pytest.approx([shown[side] for side in shown], abs=1)
    scale = shown["width"] / 512
    assert box["x"] - shown["x"] == pytest.approx(178.5 * scale, abs=4)
    assert box["y"] - shown["y"] == pytest.approx(60.2 * scale, abs=4)


def test_the_example_and_a_pasted_and_a_dropped_photograph_are_analyzed(visit: Visit) -> None:
    visit.page.click("#example")
    visit.page.wait_for_selector(".face")
    for event, target, field in (("paste", "window", "clipboardData"), ("drop", "window", "dataTransfer")):
        visit.page.evaluate(
            """async ([event, field]) => {
                document.querySelector("#answers").replaceChildren();
                const image = await (await fetch("static/example.jpg")).blob();
                const files = new DataTransfer();
                files.items.add(new File([image], "given.jpg", { type: "image/jpeg" }));
                const made = event === "paste" ? new ClipboardEvent(event, { [field]: files, bubbles: true })
                    : new DragEvent(event, { [field]: files, bubbles: true });
                document.body.dispatchEvent(made);
            }""",
            [event, field],
        )
        visit.page.wait_for_selector(".face")
        assert "@given.jpg" in visit.text("#snippet"), target


def test_a_photograph_from_the_camera_is_analyzed(visit: Visit) -> None:
    visit.page.click("#open-camera")
    visit.wait("document.querySelector('#video').videoWidth > 0")
    visit.page.click("#shoot")
    visit.page.wait_for_selector(".face")
    assert "1 face" in visit.text("#status")
    assert not visit.page.is_visible("#camera")


def test_the_live_camera_has_boxes_track_numbers_and_a_curve(visit: Visit) -> None:
    visit.page.click("#open-camera")
    visit.wait("document.querySelector('#video').videoWidth > 0")
    visit.page.click("#live")
    visit.wait("document.querySelectorAll('#overlay rect').length === 2")
    visit.wait("document.querySelector('#curve polyline')?.points.length > 5")
    assert (visit.page.text_content("#overlay text") or "").startswith("1 ")
    assert "Face 1: happy, mood excited" in visit.text("#tracks")
    assert "1 face, " in visit.text("#live-status")
    visit.page.click("#live")
    visit.wait("document.querySelector('#live').getAttribute('aria-pressed') === 'false'")
    assert visit.page.locator("#overlay rect").count() == 0
    visit.page.click("#close-camera")
    assert not visit.page.is_visible("#camera")


def test_an_abstention_has_a_reason(visit: Visit) -> None:
    visit.choose(photograph(blurred=6))
    assert "Too blurred to tell: sharpness 0." in visit.text(".face")
    assert visit.page.locator(".bars").count() == 0


def test_no_face_is_an_answer(visit: Visit) -> None:
    visit.choose(encoded(Image.new("RGB", (300, 200), "grey"), "PNG"))
    assert "0 faces, in 300 by 200 pixels of PNG." in visit.text("#status")


def test_only_the_selected_tasks_and_faces_are_requested(visit: Visit) -> None:
    visit.page.uncheck("#tasks input[value=emotion]")
    visit.page.fill("#max-faces", "3")
    visit.choose(EXAMPLE.read_bytes())
    assert "?tasks=age,gender&max_faces=3" in visit.text("#snippet")
    assert visit.page.locator(".bars").count() == 0
    visit.page.click("#tab-Python")
    assert 'tasks=["age", "gender"], max_faces=3' in visit.text("#snippet")
    visit.page.click("#tab-Node")
    assert 'method: "POST"' in visit.text("#snippet")


def test_two_models_are_side_by_side(visit: Visit) -> None:
    visit.choose(EXAMPLE.read_bytes())
    visit.page.select_option("#compare", "emotion:mini-xception-emotion")
    visit.wait("document.querySelectorAll('.columns > section').length === 2")
    headings = visit.page.locator(".columns h3").all_inner_texts()
    assert headings[0] == "With the models in use"
    assert "With emotion: mini-xception-emotion" in headings
    first, second = (visit.page.locator(".bars").nth(place).inner_text() for place in (0, 1))
    assert first != second


def test_a_models_card_is_shown(visit: Visit) -> None:
    visit.page.select_option("#model", "mien-emotion")
    visit.wait("document.querySelector('#card').textContent.includes('FER')")
    assert visit.page.locator("#card table").count() > 1
    assert "**" not in visit.text("#card")


def test_an_error_is_an_alert_with_its_reason(browser: "Browser", url: str) -> None:
    visit = Visit(browser, url)
    visit.choose(b"not an image")
    alert = visit.page.get_by_role("alert")
    assert "IMAGE_UNDECODABLE" in alert.inner_text()
    assert visit.page.locator(".face").count() == 0
    assert all("400 (Bad Request)" in message for message in visit.messages)  # the browser reports every such status
    visit.page.set_input_files("#file", {"name": "a.txt", "mimeType": "text/plain", "buffer": b"a"})
    assert "not an image" in alert.inner_text()
    visit.close()


def test_the_page_requests_a_token(browser: "Browser", service: FaceAnalysis, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text(token_line("visitor", "secret-token") + "\n")
    settings = Settings.load({"server.port": 0, "http.port": 0, "server.drain_s": 1, "auth.token_file": tokens})
    with running_server(service, settings) as server:
        visit = Visit(browser, server.http_address)
        assert "needs a token" in visit.text("#server")
        visit.page.fill("#token", "secret-token")
        visit.page.press("#token", "Enter")
        visit.page.wait_for_selector("#tasks input")
        visit.choose(EXAMPLE.read_bytes())
        assert "1 face" in visit.text("#status")
        assert "secret-token" not in visit.text("#snippet")
        assert visit.elsewhere == []
        visit.close()


def test_the_page_works_with_the_keyboard_alone(visit: Visit) -> None:
    order = []
    for _ in range(14):
        visit.page.keyboard.press("Tab")
        order.append(visit.page.evaluate("document.activeElement.id || document.activeElement.textContent.trim()"))
    wanted = ["Skip to the result", "HTTP interface", "file", "open-camera", "example", "max-faces"]
    assert [name for name in order if name in wanted] == wanted
    visit.page.focus("#example")
    visit.page.keyboard.press("Enter")
    visit.page.wait_for_selector(".face")
    visit.page.focus("#tab-curl")
    visit.page.keyboard.press("ArrowRight")
    assert visit.page.evaluate("document.activeElement.id") == "tab-Python"
    assert "mien.Client" in visit.text("#snippet")


NAMELESS = """() => [...document.querySelectorAll("input, select, button, img, [role=img], [tabindex='0'], video")]
    .filter((each) => each.checkVisibility())
    .filter((each) => !(each.labels?.length || each.ariaLabel || each.hasAttribute("alt")
        || each.getAttribute("aria-labelledby") || each.textContent.trim()))
    .map((each) => each.outerHTML)"""

CONTRAST = """() => {
    const numbers = (color) => color.match(/[\\d.]+/g).map(Number);
    const linear = (c) => (c <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4);
    const light = (color) => {
        const [r, g, b] = color.map((c) => linear(c / 255));
        return .2126 * r + .7152 * g + .0722 * b;
    };
    const ground = (each) => {
        const [r, g, b, alpha = 1] = numbers(getComputedStyle(each).backgroundColor);
        if (alpha === 1) return [r, g, b];
        const below = ground(each.parentElement);
        return [r, g, b].map((c, place) => alpha * c + (1 - alpha) * below[place]);
    };
    const poor = [];
    for (const each of document.querySelectorAll("body *")) {
        const own = [...each.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
        if (!own || !each.checkVisibility() || each.disabled || each.closest("svg, .skip")) continue;
        const [a, b] = [light(numbers(getComputedStyle(each).color)), light(ground(each))].sort((x, y) => y - x);
        const ratio = (a + .05) / (b + .05);
        if (ratio < 4.5) poor.push(`${each.tagName} ${each.textContent.trim().slice(0, 30)}: ${ratio.toFixed(2)}`);
    }
    return poor;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_it_fits_and_can_be_read(browser: "Browser", url: str, scheme: str, size: str) -> None:
    visit = Visit(browser, url, scheme=scheme, size=size)
    visit.choose(EXAMPLE.read_bytes())
    visit.wait("document.querySelector('#card').childElementCount > 0")
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= SIZES[size][0]
    assert visit.page.evaluate(NAMELESS) == []
    assert visit.page.evaluate(CONTRAST) == []
    shown = Image.open(BytesIO(visit.page.screenshot()))
    assert len(shown.convert("RGB").getcolors(2**24) or []) > 100
    visit.close()


def test_the_documentation_page_loads_nothing_from_elsewhere(browser: "Browser", url: str) -> None:
    visit = Visit(browser, url, scheme="dark", size="phone")
    visit.page.goto(f"{url}/docs")
    assert "/v1/analyze" in visit.text("main")
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= SIZES["phone"][0]
    assert visit.page.evaluate(CONTRAST) == []
    assert visit.elsewhere == visit.messages == []
    visit.close()
