"""The page that `report` writes, in a real browser without a window."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver import Chrome, ChromeOptions, Keys
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from tests.minikernel import make_mini
from tests.reports import IMAGE, REQUIREMENTS, SCRIPT, Reported, break_greeting, cached_tool

BROWSER, DRIVER = (shutil.which(name) for name in ("chromium", "chromedriver"))
NARROW, WIDE = (390, 844), (1400, 1000)

pytestmark = pytest.mark.skipif(
    not (BROWSER and DRIVER), reason="no chromium and chromedriver (apt: chromium-driver)"
)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a series with a regression and hostile output, as a real run leaves it."""
    path = tmp_path_factory.mktemp("report")
    mini = make_mini(path)
    break_greeting(mini, hostile=True)
    (mini.project / "patches" / "requirements.toml").write_text(REQUIREMENTS)
    reported = Reported(mini, cached_tool(path / "cache"), path / "cache")
    assert reported.run("regress").status == 1
    reported.measure()
    assert reported.run("report", "-o", path / "report.html").status == 1
    return path / "report.html"


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    with _browser(tmp_path_factory.mktemp("profile"), script=True) as driver:
        yield driver


def _browser(profile: Path, *, script: bool) -> Chrome:
    assert BROWSER and DRIVER
    options = ChromeOptions()
    options.binary_location = BROWSER
    for word in ("--headless=new", "--disable-gpu", "--disable-dev-shm-usage",
                 f"--user-data-dir={profile}"):  # fmt: skip
        options.add_argument(word)
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")  # which root cannot have
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    if not script:
        setting = {"profile.managed_default_content_settings.javascript": 2}
        options.add_experimental_option("prefs", setting)
    return Chrome(options, Service(DRIVER))


@pytest.fixture
def opened(chromium: Chrome, page: Path) -> Iterator[Chrome]:
    """The browser with the page in it; nothing may be in its console afterwards."""
    _resize(chromium, *WIDE)
    chromium.get("about:blank")
    chromium.get(page.as_uri())
    yield chromium
    assert chromium.get_log("browser") == []


def _resize(driver: Chrome, width: int, height: int) -> None:
    """Make what is shown so large, in CSS pixels; a window has a least width."""
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
        "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600,
    })  # fmt: skip


def _all(driver: Chrome, selector: str) -> list[WebElement]:
    return driver.find_elements(By.CSS_SELECTOR, selector)


def _shown(driver: Chrome, selector: str) -> list[str]:
    return [" ".join(one.text.split()) for one in _all(driver, selector) if one.is_displayed()]


def _press(driver: Chrome, *keys: str) -> None:
    for key in keys:
        driver.switch_to.active_element.send_keys(key)


def _link(driver: Chrome) -> str:
    """The text of the link that has the focus."""
    return " ".join(driver.switch_to.active_element.text.split())


def test_it_loads_with_the_verdict_on_top(opened: Chrome) -> None:
    assert opened.title.startswith("BAD: ")
    (verdict,) = _all(opened, "h1")
    assert verdict.text.startswith("BAD") and "1 regressed" in verdict.text
    assert 0 <= verdict.rect["y"] < 100
    # Whoever put markup into a test's output has not become part of the page.
    assert not _all(opened, "img") and len(_all(opened, "script")) == 1
    assert "<script>" in _all(opened, "#cases")[0].text


def test_the_policy_stops_what_escaping_would_have_missed(
    chromium: Chrome, page: Path, tmp_path: Path
) -> None:
    hurt = tmp_path / "hurt.html"
    hurt.write_text(page.read_text().replace("<main>", f"<main>{SCRIPT}{IMAGE}"))
    chromium.get(hurt.as_uri())
    assert chromium.title.startswith("BAD: ")
    messages = " ".join(str(entry["message"]) for entry in chromium.get_log("browser"))
    assert "Content Security Policy" in messages


def test_a_cell_leads_to_its_log(opened: Chrome) -> None:
    _all(opened, ".matrix td.bad a")[0].click()
    (log,) = [one for one in _all(opened, "details.log") if one.get_attribute("open")]
    assert "regressed counting.greets" in log.text
    assert "WARNING: CPU: 0 PID: 1 at lib/count.c:3" in log.text
    top = opened.execute_script("return arguments[0].getBoundingClientRect().top", log)
    assert top < WIDE[1]


def test_a_mutant_shows_its_diff(opened: Chrome) -> None:
    survivors = _all(opened, "#strength li.unwell details")
    found = [one for one in survivors if one.find_element(By.TAG_NAME, "summary").text == "diff"]
    assert len(found) == 3
    found[0].find_element(By.TAG_NAME, "summary").click()
    assert "-count() {\n+echo <script>" in found[0].text
    assert found[0].find_element(By.CLASS_NAME, "minus").text == "-count() {"


def test_the_filter(opened: Chrome) -> None:
    rows = ".matrix tbody tr"
    assert len(_shown(opened, rows)) == 4
    opened.find_element(By.ID, "words").send_keys("COUNT right")
    assert [row.split("+")[0].strip() for row in _shown(opened, rows)] == ["2. lib: count right"]
    assert "entries" in opened.find_element(By.ID, "count").text
    opened.find_element(By.ID, "words").send_keys(" nowhere")
    assert _shown(opened, rows) == []
    _press(opened, Keys.ESCAPE)
    assert len(_shown(opened, rows)) == 4
    opened.find_element(By.ID, "only").click()
    assert len(_shown(opened, rows)) == 4  # the splat is in every one of them
    assert len(_shown(opened, "#requirements tbody tr")) == 2


def test_the_keyboard(opened: Chrome) -> None:
    _press(opened, "n")
    assert _link(opened) == ". 2 passed, 1 failed"
    _press(opened, "p")
    assert _link(opened).startswith("R 2 passed")
    _press(opened, Keys.ARROW_UP)
    assert _link(opened) == "+ 3 passed, 1 fixed here"
    _press(opened, Keys.ENTER)
    assert [one for one in _all(opened, "details.log") if one.get_attribute("open")]
    _press(opened, "/")
    assert opened.switch_to.active_element.get_attribute("id") == "words"
    _press(opened, "n", "o")  # words, here
    assert opened.switch_to.active_element.get_attribute("value") == "no"
    _press(opened, Keys.ESCAPE, "o")
    assert opened.find_element(By.ID, "only").is_selected()


@pytest.mark.parametrize("size", [NARROW, WIDE])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_and_can_be_read(opened: Chrome, size: tuple[int, int], scheme: str) -> None:
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {
        "features": [{"name": "prefers-color-scheme", "value": scheme}]
    })  # fmt: skip
    _resize(opened, *size)
    for details in _all(opened, "details"):
        opened.execute_script("arguments[0].open = true", details)
    wide = opened.execute_script("return document.documentElement.scrollWidth")
    assert wide <= size[0]
    # Text and background differ enough (WCAG 2, 1.4.3) in every cell and for all small print.
    worst = opened.execute_script(CONTRAST)
    assert worst[0] >= 4.5, worst
    if directory := os.environ.get("MEMDESC_TOOL_SCREENSHOTS"):
        Path(directory).mkdir(exist_ok=True)
        opened.save_screenshot(str(Path(directory) / f"report-{size[0]}-{scheme}.png"))


CONTRAST = """
const light = (color) => {
  const [r, g, b] = color.match(/[\\d.]+/g).slice(0, 3).map((one) => {
    const part = one / 255;
    return part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const behind = (element) => {
  for (let one = element; one; one = one.parentElement) {
    const color = getComputedStyle(one).backgroundColor;
    if (color !== "rgba(0, 0, 0, 0)") return color;
  }
};
let worst = [99, ""];
for (const one of document.querySelectorAll("h1, p, td, th, a, small, code, span, pre, summary")) {
  if (!one.textContent.trim()) continue;
  const [a, b] = [getComputedStyle(one).color, behind(one)].map(light);
  const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  if (ratio < worst[0]) worst = [ratio, one.outerHTML.slice(0, 80)];
}
return worst;
"""


def test_without_javascript(page: Path, tmp_path: Path) -> None:
    with _browser(tmp_path, script=False) as driver:
        driver.get(page.as_uri())
        assert not _all(driver, "#filter")[0].is_displayed()
        _all(driver, ".matrix td.bad a")[0].click()
        # A browser opens what a link leads into; what it has closed opens with a click.
        (log,) = _all(driver, "details.log.bad")
        if not log.get_attribute("open"):
            log.find_element(By.TAG_NAME, "summary").click()
        assert "failed: counting.greets" in log.text


def test_it_prints(opened: Chrome) -> None:
    printed = opened.execute_cdp_cmd("Page.printToPDF", {"printBackground": False})
    assert len(printed["data"]) > 10_000
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert _shown(opened, "nav") == [] and _shown(opened, "#filter") == []
    # As many columns as our own stack has revisions still fit the paper.
    opened.execute_script(
        "for (const row of document.querySelectorAll('.dense tr'))"
        " while (row.cells.length < 54) row.append(row.lastElementChild.cloneNode(true));"
    )
    _resize(opened, 1000, 700)
    assert all(one.rect["width"] <= 1000 for one in _all(opened, "table"))
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
