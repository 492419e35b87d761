"""How soon the explorer answers: first words of a new prompt, tokens a second, the kernel's longest wait, the slider.

    python tests/benchmarks/explorer.py [--tiny]

13 alphas x 40 tokens on the demo model. Wanted: first words of a new prompt within 2 s; the kernel never blocked for
longer than a token, seen as the longest gap between the ticks of a 5 ms heartbeat on an event loop like the kernel's;
a slider's step within 100 ms from the key press to the frame that shows its text, in JupyterLab in Chromium.
"""

import asyncio
import copy
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

import common
import nbformat

import lerpnb as ln

PROMPTS = ["The film is", "Nobody in this picture", "The music alone", "By the third act", "She carries every scene"]
TICK = 0.005
WATCH = """() => {
  window.waits = [];
  const root = document.querySelector(".lerp-explorer");
  const slider = root.querySelector(".slider"), text = root.querySelector(".text");
  let pressed = 0;
  slider.addEventListener("keydown", (event) => { pressed = event.timeStamp; }, true);
  new MutationObserver(() => requestAnimationFrame(() => setTimeout(() => {
    if (pressed) window.waits.push(performance.now() - pressed);
    pressed = 0;
  }))).observe(text, { childList: true });
}"""
ASK = """(prompt) => new Promise((done) => {
  const root = document.querySelector(".lerp-explorer"), box = root.querySelector("textarea");
  const start = performance.now();
  box.value = prompt;
  box.dispatchEvent(new Event("input"));
  const look = () => root.querySelector(".given").textContent === prompt && root.querySelector(".word")
    ? done(performance.now() - start) : requestAnimationFrame(look);
  look();
})"""
IDLE = "() => !document.querySelector('.lerp-explorer').classList.contains('busy')"


def ends(tiny: bool, folder: Path) -> tuple[str, str, str]:
    if not tiny:
        data = Path(__file__).parents[2] / "data" / "adapters"
        return str(data / "negative"), str(data / "positive"), "smollm2-135m-instruct"
    import tiny_models as makers

    made = makers.adapter_trio(makers.llama(), folder)
    return str(made.minus), str(made.plus), str(made.base)


def in_the_kernel(explorer, prompts: list[str]) -> dict:
    """Without a browser: what is sent, when; and how late an event loop beside it gets its turn."""
    messages: list[tuple[float, dict]] = []
    explorer.send = lambda message: messages.append((time.perf_counter(), message))
    settings = dict(max_new_tokens=explorer.session.spec.max_new_tokens, temperature=1.0, top_p=0.9)
    first, steps, rates, gaps = [], [], [], []
    for seed, prompt in enumerate(prompts):
        messages.clear()
        start = time.perf_counter()
        explorer.receive({"kind": "write", "prompt": prompt, "seed": seed, **settings})
        gaps.append(asyncio.run(longest_gap(explorer.session.writing)))
        explorer.session.writing.wait()
        pages = [(at, page) for at, page in messages if page["kind"] == "page"]
        first.append(pages[0][0] - start)
        steps += [b[0] - a[0] for a, b in zip(pages[1:], pages[2:], strict=False)]
        rates.append((pages[-1][1]["tokens"] - pages[1][1]["tokens"]) / (pages[-1][0] - pages[1][0]))
    return {
        "first words, s": statistics.median(first),
        "slowest first words, s": max(first),
        "tokens a second, all alphas": statistics.median(rates),
        "a decoding step, ms": 1e3 * statistics.median(steps),
        "longest gap of the event loop, ms": 1e3 * max(gaps),
        "the same with nothing to do, ms": 1e3 * asyncio.run(longest_gap(None)),
    }


async def longest_gap(job, idle: float = 2.0) -> float:
    """The longest time between two ticks of a heartbeat, less the tick, while a job runs or for `idle` seconds."""
    longest, start = 0.0, time.perf_counter()
    while job.working if job else time.perf_counter() - start < idle:
        before = time.perf_counter()
        await asyncio.sleep(TICK)
        longest = max(longest, time.perf_counter() - before - TICK)
    return longest


def in_the_browser(given: tuple[str, str, str], n: int, max_new_tokens: int, folder: Path) -> dict:
    """In JupyterLab in Chromium: from a key press on the slider to the frame that shows it, from a prompt to words."""
    import browser
    from playwright.sync_api import sync_playwright

    path = next(filter(None, map(shutil.which, browser.NAMES)))
    code = f"import lerpnb as ln\nline = ln.Line(*{given!r})\n"
    code += f"ln.explore(line, 'the film was', alphas=ln.alpha_grid(-1, 2, {n}), max_new_tokens={max_new_tokens})"
    node = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    node.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    with browser.serve(folder) as lab, sync_playwright() as driver:
        nbformat.write(node, lab.root / "explore.ipynb")
        chromium = driver.chromium.launch(executable_path=path, args=browser.QUIET)
        tab = browser.Tab(chromium.new_page(viewport={"width": 1400, "height": 1000}))
        page = tab.page
        lab.open(tab, "explore.ipynb")
        lab.run_all(tab, 120)
        page.locator(".lerp-explorer .word").first.wait_for(timeout=60_000)
        page.evaluate(WATCH)
        page.locator(".lerp-explorer .slider").focus()
        steps = {}
        for state in ("while texts are written", "after that"):
            page.evaluate("window.waits.length = 0")
            for i in range(24):
                page.keyboard.press("ArrowLeft" if i // (n - 1) % 2 else "ArrowRight")
                page.wait_for_timeout(30)
            steps[state] = page.evaluate("window.waits")
            page.wait_for_function(IDLE, timeout=120_000)
        first = []
        for prompt in PROMPTS[:3]:
            first.append(page.evaluate(ASK, prompt))
            page.wait_for_function(IDLE, timeout=120_000)
        chromium.close()
    told = {f"slider, {kind}, {state}, ms": of(waits) for state, waits in steps.items() for kind, of in KINDS.items()}
    return told | {"from typing to the first words, s": max(first) / 1e3}


KINDS = {"median": statistics.median, "slowest": max}


def main() -> None:
    tiny = common.arguments(__doc__).tiny
    n, max_new_tokens, prompts = (4, 8, ["the film", "nobody"]) if tiny else (13, 40, PROMPTS)
    with tempfile.TemporaryDirectory() as folder:
        given = ends(tiny, Path(folder) / "ends")
        line = ln.Line(*given, device="cpu" if tiny else "auto")
        line.tokenizer = copy.deepcopy(line.tokenizer)  # no text ends early, so that all steps are of all alphas
        line.tokenizer.eos_token = line.model.generation_config.eos_token_id = None
        start = time.perf_counter()
        explorer = ln.explore(line, "the film", alphas=ln.alpha_grid(-1, 2, n), max_new_tokens=max_new_tokens)
        found = {"alphas": n, "made in, s": time.perf_counter() - start}
        explorer.texts()  # the first pass of a process is slower
        found |= in_the_kernel(explorer, prompts)
        explorer.close()
        (Path(folder) / "lab").mkdir()
        if tiny:
            print("the browser is left out at a tiny size")
        else:
            found |= in_the_browser(given, n, max_new_tokens, Path(folder) / "lab")
    for name, value in found.items():
        print(f"{name:48}{value:10.3g}")
    if not tiny:
        print(common.save("explorer", found), file=sys.stderr)


if __name__ == "__main__":
    main()
