//! Headless Chromium, driven over a pipe by its own protocol: pages are opened, pressed, measured and photographed. Everything
//! that it complains of is kept.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use base64::Engine;
use serde_json::{Value, json};

/// How long the browser may take for anything.
const PATIENCE: Duration = Duration::from_secs(60);
/// Maximum height of a picture, in CSS pixels.
const MAX_HEIGHT: f64 = 5000.0;

/// The program, if the machine has one. On CI it must.
pub fn program() -> Option<&'static str> {
    let there = |name: &&str| {
        let found = Command::new(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        found.is_ok_and(|status| status.success())
    };
    let found = ["chromium", "chromium-browser", "google-chrome"].into_iter().find(there);
    if found.is_none() {
        assert!(std::env::var_os("CI_RUN").is_none(), "chromium is missing");
        eprintln!("skipped: chromium is missing");
    }
    found
}

/// A browser with one page.
pub struct Browser {
    child: Child,
    to: ChildStdin,
    from: Receiver<Value>,
    sent: u64,
    session: String,
    loaded: bool,
    /// Errors and warnings of scripts, policy and network since the page was opened.
    pub troubles: Vec<String>,
    /// Addresses asked for since then.
    pub requests: Vec<String>,
}

impl Browser {
    /// Starts one with a profile in `folder`; `None` where there is no browser.
    pub fn start(folder: &Path) -> Option<Browser> {
        let program = program()?;
        // The protocol is spoken on the descriptors 3 and 4.
        let mut child = Command::new("sh")
            .args(["-c", "exec \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1", "sh", program])
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars"])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .args(["--disable-dev-shm-usage", "--remote-debugging-pipe"])
            .arg(format!("--user-data-dir={}", folder.join("profile").display()))
            .arg("about:blank")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (to, out) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (sender, from) = channel();
        std::thread::spawn(move || {
            let pieces = BufReader::new(out).split(0).map_while(Result::ok);
            let messages = pieces.filter_map(|piece| serde_json::from_slice(&piece).ok());
            messages.map(|message| sender.send(message)).take_while(Result::is_ok).for_each(drop);
        });
        let mut browser = Browser {
            child,
            to,
            from,
            sent: 0,
            session: String::new(),
            loaded: false,
            troubles: Vec::new(),
            requests: Vec::new(),
        };
        let targets = browser.call("Target.getTargets", &json!({}));
        let is_page = |target: &&Value| target["type"] == "page";
        let page =
            targets["targetInfos"].as_array().unwrap().iter().find(is_page).unwrap()["targetId"].clone();
        let attached = browser.call("Target.attachToTarget", &json!({"targetId": page, "flatten": true}));
        browser.session = attached["sessionId"].as_str().unwrap().to_owned();
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), &json!({}));
        }
        Some(browser)
    }

    /// Calls a method of the protocol.
    #[track_caller]
    pub fn call(&mut self, method: &str, parameters: &Value) -> Value {
        self.sent += 1;
        let mut message = json!({"id": self.sent, "method": method, "params": parameters});
        if !self.session.is_empty() {
            message["sessionId"] = json!(self.session);
        }
        self.to.write_all(format!("{message}\0").as_bytes()).unwrap();
        loop {
            let mut message = self.next(method);
            if message["id"] == self.sent {
                assert!(message["error"].is_null(), "{method} {parameters}: {}", message["error"]);
                return message["result"].take();
            }
        }
    }

    #[track_caller]
    fn next(&mut self, what: &str) -> Value {
        let message = self.from.recv_timeout(PATIENCE);
        let message =
            message.unwrap_or_else(|_| panic!("no answer to {what}; troubles: {:?}", self.troubles));
        self.hear(&message);
        message
    }

    fn hear(&mut self, message: &Value) {
        let parameters = &message["params"];
        match message["method"].as_str().unwrap_or_default() {
            "Page.loadEventFired" => self.loaded = true,
            "Network.requestWillBeSent" => {
                self.requests.push(parameters["request"]["url"].as_str().unwrap_or_default().to_owned());
            }
            "Runtime.exceptionThrown" => self.troubles.push(parameters["exceptionDetails"].to_string()),
            "Runtime.consoleAPICalled"
                if ["error", "warning", "assert"].iter().any(|kind| parameters["type"] == *kind) =>
            {
                self.troubles.push(parameters["args"].to_string());
            }
            "Log.entryAdded" => self.troubles.push(parameters["entry"].to_string()),
            _ => {}
        }
    }

    /// Opens an address, and waits until it is there.
    #[track_caller]
    pub fn open(&mut self, url: &str) {
        self.troubles.clear();
        self.requests.clear();
        self.loaded = false;
        let found = self.call("Page.navigate", &json!({"url": url}));
        assert!(found["errorText"].is_null(), "{url}: {found}");
        self.loads();
        // What loaded may have been the page before, on its way when this one was asked for.
        self.until("document.readyState === 'complete'");
        self.loaded = false;
    }

    /// Waits for the page that a press leads to.
    #[track_caller]
    pub fn loads(&mut self) {
        while !self.loaded {
            self.next("loading a page");
        }
        self.loaded = false;
    }

    /// The value of an expression in the page.
    #[track_caller]
    pub fn value(&mut self, expression: &str) -> Value {
        let parameters = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let mut found = self.call("Runtime.evaluate", &parameters);
        assert!(found["exceptionDetails"].is_null(), "{expression}: {found}");
        found["result"]["value"].take()
    }

    /// Waits until an expression is true.
    #[track_caller]
    pub fn until(&mut self, expression: &str) {
        let begin = Instant::now();
        while self.value(&format!("Boolean({expression})")) != true {
            if begin.elapsed() > PATIENCE {
                let page = self.value("location.href + '\\n' + document.body.innerText");
                panic!("in vain: {expression}\n{}\n{:?}", page.as_str().unwrap_or_default(), self.troubles);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Presses a key: a character, or a name such as `Enter`.
    pub fn press(&mut self, key: &str) {
        let mut down = json!({"type": "keyDown", "key": key});
        match key {
            "Enter" => (down["text"], down["windowsVirtualKeyCode"]) = (json!("\r"), json!(13)),
            "Tab" => down["windowsVirtualKeyCode"] = json!(9),
            "Escape" => down["windowsVirtualKeyCode"] = json!(27),
            key => down["text"] = json!(key),
        }
        self.call("Input.dispatchKeyEvent", &down);
        self.call("Input.dispatchKeyEvent", &json!({"type": "keyUp", "key": key}));
    }

    /// Types a text.
    pub fn enter(&mut self, text: &str) {
        self.call("Input.insertText", &json!({"text": text}));
    }

    /// Looks at pages in a window of this width, in this theme, with script or without.
    pub fn look(&mut self, width: u32, is_dark: bool, has_script: bool) {
        let is_phone = width < 600;
        let metrics = json!({"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": is_phone});
        self.call("Emulation.setDeviceMetricsOverride", &metrics);
        let theme = if is_dark { "dark" } else { "light" };
        // What turns does not make two pictures differ.
        let features = json!([{"name": "prefers-color-scheme", "value": theme}, {"name": "prefers-reduced-motion", "value": "reduce"}]);
        self.call("Emulation.setEmulatedMedia", &json!({"features": features}));
        self.call("Emulation.setScriptExecutionDisabled", &json!({"value": !has_script}));
    }

    /// Writes a picture of the whole page.
    pub fn picture(&mut self, path: &Path) {
        let found = self.call("Page.getLayoutMetrics", &json!({}));
        let size = &found["cssContentSize"];
        let height = size["height"].as_f64().unwrap().min(MAX_HEIGHT);
        let clip = json!({"x": 0, "y": 0, "width": size["width"], "height": height, "scale": 1});
        let parameters =
            json!({"format": "png", "clip": clip, "captureBeyondViewport": true, "optimizeForSpeed": true});
        let found = self.call("Page.captureScreenshot", &parameters);
        let bytes =
            base64::engine::general_purpose::STANDARD.decode(found["data"].as_str().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It ends when nobody speaks to it; where it does not, it is ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
