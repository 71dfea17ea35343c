"""The demo page in a headless Chromium: upload, overlay, legend, errors, downloads, isolation."""

import json
import shutil
import socket
import time
from pathlib import Path

import numpy as np
import pytest
import requests
from PIL import Image

from saved_models.demo.models import WINDOWED, KerasModel
from saved_models.demo.uploads import PageLimits
from tests.export import encoded
from tests.fixtures import small_encnet, small_fcn
from tests.saved_models.demo.parts import HOSTILE, write_image

pytestmark = pytest.mark.slow
gradio = pytest.importorskip("gradio", reason="the extra `demo` is not installed")
webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
BROWSERS = filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome")))
CHROMIUM, DRIVER = next(BROWSERS, None), shutil.which("chromedriver")
NAMES = tuple(f"{i} {HOSTILE}" for i in range(5))
LIMITS = PageLimits(bytes=200_000, pixels=512 * 512)


@pytest.fixture(scope="module")
def models(randomize):
    encnet, fcn = randomize(small_encnet()), randomize(small_fcn())
    encnet.class_names, fcn.class_names = NAMES, NAMES[:4]
    return [KerasModel("encnet", encnet, LIMITS), KerasModel("fcn", fcn, LIMITS)]


@pytest.fixture(scope="module")
def address(models):
    from saved_models.demo.page import served

    with served(models, LIMITS, "127.0.0.1", free_port()) as address:
        yield address.rstrip("/")


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    if CHROMIUM is None or DRIVER is None:
        pytest.skip("Debian's packages `chromium` and `chromium-driver` are not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    folder = tmp_path_factory.mktemp("downloads")
    options.add_experimental_option("prefs", {"download.default_directory": str(folder)})
    with webdriver.Chrome(options, webdriver.ChromeService(DRIVER)) as driver:
        driver.downloads = folder
        yield driver


@pytest.fixture
def page(browser, address):
    browser.get(address)
    wait_for(browser, "#image input[type=file]")
    return browser


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_until(condition, seconds=180):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def wait_for(page, selector, count=1):
    """Returns the elements that a selector finds, once there are `count` of them."""
    wait_until(lambda: len(page.find_elements("css selector", selector)) == count)
    return page.find_elements("css selector", selector)


def upload(page, path):
    [field] = wait_for(page, "#image input[type=file]")
    field.send_keys(str(path))


def test_an_upload_shows_overlay_legend_and_downloads_of_every_model(page, models, tmp_path):
    image = write_image(tmp_path / "photo.png", 48, 80)
    upload(page, image.path)
    wait_for(page, ".overlay .mask", count=2)
    legends = wait_for(page, "table.legend", count=2)
    for model, legend in zip(models, legends, strict=True):
        mask = model.network.segment(image.pixels)
        rows = legend.find_elements("css selector", "tr")[1:]
        shares = {}
        for row in rows:
            name, share, *_ = (cell.text for cell in row.find_elements("css selector", "td"))
            shares[name] = float(share.rstrip("%"))
        for i, name in enumerate(model.network.class_names):
            assert shares.get(name, 0) == pytest.approx(100 * np.mean(mask == i), abs=0.051)
    assert "probability of presence" in legends[0].text
    assert "probability of presence" not in legends[1].text
    wait_for(page, ".context img", count=1)
    for text, suffix in (("mask", "png"), ("JSON", "json")):
        page.find_element("link text", f"Download {text}").click()
        path = page.downloads / f"photo.{suffix}"
        wait_until(path.exists)
        if suffix == "png":
            mask = models[0].network.segment(image.pixels)
            np.testing.assert_array_equal(np.asarray(Image.open(path)), mask)
        else:
            assert json.loads(path.read_text())["image"] == "photo.png"


def test_the_opacity_changes_in_the_browser(page, tmp_path):
    upload(page, write_image(tmp_path / "photo.png").path)
    [mask, _] = wait_for(page, ".overlay .mask", count=2)
    assert mask.value_of_css_property("opacity") == "0.55"
    [number] = wait_for(page, "#opacity input[type=number]")
    number.clear()
    number.send_keys("0.2\t")
    wait_until(lambda: mask.value_of_css_property("opacity") == "0.2")


def test_windows_are_applied_with_enter(page, tmp_path):
    upload(page, write_image(tmp_path / "photo.png", 48, 80).path)
    wait_for(page, ".overlay .mask", count=2)
    [field] = wait_for(page, "#window input")
    field.clear()
    field.send_keys("32\n")
    wait_until(lambda: WINDOWED in page.find_element("css selector", ".result").text)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"some text", "Not a JPEG, PNG, GIF or BMP image. Convert"),
        (encoded.encode(encoded.gradient(600, 600), "PNG"), "600 x 600 pixels exceed the limit"),
    ],
)
def test_files_that_are_no_such_images_are_refused_with_a_sentence(content, reason, page, tmp_path):
    (tmp_path / "notes.txt").write_bytes(content)
    upload(page, tmp_path / "notes.txt")
    [alert] = wait_for(page, "#message [role=alert]")
    assert reason in alert.text
    assert not page.find_elements("css selector", ".overlay")


def test_files_above_the_limit_are_refused_while_they_are_uploaded(page, tmp_path):
    (tmp_path / "large.png").write_bytes(bytes(LIMITS.bytes + 1))
    upload(page, tmp_path / "large.png")
    [toast] = wait_for(page, ".toast-body")
    wait_until(lambda: 'maximum allowed size of 195.3 Kb: "large.png"' in toast.text)
    assert not page.find_elements("css selector", ".overlay")


def test_the_page_makes_no_request_to_other_machines(page, address):
    names = page.execute_script("return performance.getEntries().map(entry => entry.name)")
    assert [n for n in names if n.startswith("http") and not n.startswith(address)] == []


def test_a_port_in_use_is_an_error_that_names_it(models, address):
    from saved_models.demo.page import served

    port = int(address.rpartition(":")[2])
    page = served(models, LIMITS, "127.0.0.1", port)
    with pytest.raises(OSError, match=f"choose another `--port`.*port={port}"):
        page.__enter__()


@pytest.mark.parametrize("path", [__file__, "/etc/passwd", "http://127.0.0.1:9/secret"])
def test_neither_files_nor_addresses_of_the_server_are_reachable(path, address):
    response = requests.get(f"{address}/gradio_api/file={path}", timeout=20)
    assert response.status_code in (400, 403, 404, 500)
    file = {"path": path, "meta": {"_type": "gradio.FileData"}}
    body = {"data": [file, 0, False], "fn_index": 0, "session_hash": "x"}
    response = requests.post(f"{address}/gradio_api/run/predict", json=body, timeout=20)
    assert (response.status_code, response.json()) == (500, {"error": None})


def test_uploads_are_deleted_after_a_time_and_with_the_page(monkeypatch):
    from saved_models.demo import page

    monkeypatch.setattr(page, "KEPT_SECONDS", 1)
    monkeypatch.setattr(page, "CLEANING_SECONDS", 1)
    paths = []
    with page.served([], LIMITS, "127.0.0.1", free_port()) as address:
        for content in (b"first", b"second"):
            file = {"files": ("a.png", content)}
            [path] = requests.post(f"{address}gradio_api/upload", files=file, timeout=20).json()
            paths.append(Path(path))
            if content == b"first":
                wait_until(lambda: not paths[0].exists())
    assert not paths[1].parent.parent.exists()
