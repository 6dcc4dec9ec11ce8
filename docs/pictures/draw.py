"""Draw the pictures of README and docs again: needs chromium for that of a page."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from joulecast.measurements.replay import SHIPPED, SHIPPED_ONLINE

PICTURES = Path(__file__).parent
JOULECAST = str(Path(sys.executable).parent / "joulecast")
VLLM = "h100-sxm/llama-3.1-8b/vllm"
PYTORCH = "h100-sxm/llama-3.1-8b/pytorch"
PAGE = (
    "estimate", "azure-2023-conv", "--table", VLLM,
    "--pue", "1.2", "--carbon", "FR", "--price", "0.18 EUR",
)  # fmt: skip
SIZE = {"width": 1100, "height": 800}


def main() -> None:
    """Draw all of them."""
    for words in (
        ("validate", str(SHIPPED), "--plot", "replays.png"),
        ("validate", str(SHIPPED_ONLINE), "--plot", "online.png"),
        ("estimate", "azure-2023-conv", "--plot", "serving.png"),
        ("trace", "plot", "azure-2023-conv", "-o", "lengths.png"),
        ("plan", "azure-2023-conv", "--slo", "ttft_p99=2s,tpot_p99=50ms", "--plot", "plan.png"),
        ("table4", "--plot", "table4.png"),
        ("paper", "--plot", "paper.png"),
        ("table", "show", PYTORCH, "--over", VLLM, "--plot",
         "pytorch-over-vllm.png"),
    ):  # fmt: skip
        subprocess.run([JOULECAST, *words], check=True, cwd=PICTURES, stdout=subprocess.DEVNULL)
    for program, picture in (("decoding_options", "speculation"), ("meter/all_bases", "forecast")):
        words = (f"benchmarks/{program}.py", "--plot", f"docs/pictures/{picture}.png")
        subprocess.run(
            [sys.executable, *words], check=True, cwd=PICTURES.parents[1], stdout=subprocess.DEVNULL
        )
    chromium = os.environ.get("JOULECAST_CHROMIUM") or shutil.which("chromium")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        page_file = Path(folder) / "report.html"
        subprocess.run(
            [JOULECAST, *PAGE, "--html", "report.html"], check=True, cwd=folder,
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport=SIZE)
        page.goto(page_file.as_uri())
        page.screenshot(path=PICTURES / "page.png")
        maps = page.locator(".maps")
        maps.locator("td:has(.tip)").nth(60).hover()
        maps.screenshot(path=PICTURES / "page-maps.png")
        browser.close()


if __name__ == "__main__":
    main()
