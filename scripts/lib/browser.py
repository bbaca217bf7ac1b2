"""A headless Chromium, driven over the pipe of its DevTools protocol (no library is needed for that)."""

import base64
import json
import os
import shutil
import subprocess
import time

START_S = 30.0


def program():
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert found, "no Chromium on this host: `scripts/setup --test` installs it"
    return found


class Browser:
    """One page of a browser that runs in `namespace`; its profile and its log lie in `folder`."""

    def __init__(self, network, namespace, folder, size="1400,1900"):
        to_read, self.to_write = os.pipe()
        self.to_read, from_write = os.pipe()
        # It reads its third descriptor and writes its fourth.
        put = f'exec {program()} "$@" 3<&{to_read} 4>&{from_write}'
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run", "--remote-debugging-pipe",
                   f"--user-data-dir={os.path.join(folder, 'browser')}", f"--window-size={size}", "about:blank"]
        # As root it has no sandbox of its own; what it loads is ours, in a namespace without a way out.
        with open(os.path.join(folder, "browser.log"), "wb") as log:
            self.process = subprocess.Popen(network.command(namespace, "bash", "-c", put, "bash", *options), stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, pass_fds=(to_read, from_write))
        os.close(to_read)
        os.close(from_write)
        self.number, self.rest, self.session = 0, b"", None
        page = next(each for each in self.ask("Target.getTargets")["targetInfos"] if each["type"] == "page")
        self.session = self.ask("Target.attachToTarget", targetId=page["targetId"], flatten=True)["sessionId"]

    def ask(self, method, **parameters):
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to_write, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            while b"\0" not in self.rest:
                part = os.read(self.to_read, 1 << 16)
                assert part, f"the browser ended: {self.process.wait()}"
                self.rest += part
            line, self.rest = self.rest.split(b"\0", 1)
            answer = json.loads(line)
            if answer.get("id") == self.number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]
        raise RuntimeError(f"{method}: no answer within {START_S} s")

    def open(self, address):
        went = self.ask("Page.navigate", url=address)
        assert "errorText" not in went, f"{address}: {went['errorText']}"

    def value(self, script):
        """What an expression is in the page."""
        found = self.ask("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def picture(self, path):
        """The page as a PNG; how many bytes it has."""
        image = base64.b64decode(self.ask("Page.captureScreenshot", format="png")["data"])
        with open(path, "wb") as file:
            return file.write(image)

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self.to_write)
        os.close(self.to_read)
