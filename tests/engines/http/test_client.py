"""The client's own process: nothing but the result may reach its standard output."""

import json
import subprocess
import sys

from fakes.server import serving

COMPLETION = "fk_overlay.engines.vllm.stream:Completion"

NOISY = """
import runpy, aiohttp
send = aiohttp.ClientSession.post
def loud(*args, **kwargs):
    print("printed midway")
    return send(*args, **kwargs)
aiohttp.ClientSession.post = loud
runpy.run_module("fk_overlay.engines.http.client", run_name="__main__")
"""


def test_prints_cannot_damage_the_result() -> None:
    with serving() as url:
        body = {"prompt": [1], "max_tokens": 2, "ignore_eos": True}
        job = {"reader": COMPLETION, "url": url + "/v1/completions", "bodies": [body]}
        job |= {"arrivals": None, "concurrency": 1, "timeout_s": 10}
        done = subprocess.run(
            [sys.executable, "-c", NOISY],
            input=json.dumps(job),
            capture_output=True,
            text=True,
            check=True,
        )
    result = json.loads(done.stdout)
    assert result["traces"][0]["tokens"] == [1, 2]
    assert result["wall_s"] >= result["cpu_s"] > 0
    assert "printed midway" in done.stderr
