//! One request to a language model behind an endpoint that speaks OpenAI's chat completions, as Ollama and most others do.

use std::{io::ErrorKind, time::Duration};

use anyhow::{Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use ureq::{Agent, Error};

use crate::answer::Prompt;

/// Where the key of an endpoint is read from that wants one.
pub const KEY: &str = "SHAS_LLM_KEY";
/// How long an answer is waited for; a model that is loaded first takes minutes.
pub const PATIENCE: Duration = Duration::from_secs(300);
/// How long a connection is waited for.
const CONNECTING: Duration = Duration::from_secs(10);
/// More is no short answer.
const MAX_BYTES: u64 = 4 << 20;
/// Characters that are shown of what an endpoint says went wrong.
const SHOWN: usize = 200;

/// A model and where it is asked.
pub struct Endpoint<'a> {
    /// Up to and with `/v1`.
    pub url: &'a str,
    pub model: &'a str,
    pub key: Option<String>,
    pub patience: Duration,
}

impl Endpoint<'_> {
    /// What the model answers.
    ///
    /// # Errors
    /// When there is no answer; the message names the URL and a remedy.
    pub fn ask(&self, prompt: &Prompt) -> Result<String> {
        let url = self.url;
        if !["http://", "https://"]
            .iter()
            .any(|own| url.starts_with(own))
        {
            bail!("{url} is no URL of an endpoint; give one such as http://localhost:11434/v1");
        }
        let waiting = spinner(&format!("{} writes", self.model));
        let mut request = json!({
            "model": self.model,
            "messages": [
                { "role": "system", "content": prompt.system },
                { "role": "user", "content": prompt.user },
            ],
            "stream": false,
            "temperature": 0,
        });
        let mut reply = self.post(&request);
        // Models that think refuse any temperature but their own.
        if let Ok((400, body)) = &reply
            && body.contains("temperature")
            && let Some(fields) = request.as_object_mut()
        {
            fields.remove("temperature");
            reply = self.post(&request);
        }
        waiting.finish_and_clear();
        self.read(reply)
    }

    /// The status and the text of a reply.
    fn post(&self, request: &Value) -> Result<(u16, String), Error> {
        let url = format!("{}/chat/completions", self.url.trim_end_matches('/'));
        let mut config = Agent::config_builder()
            .timeout_global(Some(self.patience))
            .timeout_connect(Some(CONNECTING.min(self.patience)))
            .http_status_as_error(false)
            // The key and the passages go nowhere but to the URL that was given.
            .max_redirects(0)
            .max_redirects_will_error(false);
        if is_local(&url) {
            config = config.proxy(None);
        }
        let agent = Agent::new_with_config(config.build());
        let mut call = agent.post(url).header("Content-Type", "application/json");
        if let Some(key) = &self.key {
            call = call.header("Authorization", format!("Bearer {key}"));
        }
        let mut response = call.send(request.to_string())?;
        let status = response.status().as_u16();
        let body = response.body_mut().with_config().limit(MAX_BYTES);
        Ok((status, body.read_to_string()?))
    }

    fn read(&self, reply: Result<(u16, String), Error>) -> Result<String> {
        let Self { url, model, .. } = self;
        let (status, body) = match reply {
            Ok(reply) => reply,
            Err(Error::Timeout(_)) => bail!(
                "{url} did not answer within {} s; check that it is running, or take a smaller model",
                self.patience.as_secs_f32()
            ),
            Err(Error::Http(_)) => {
                bail!("{url} or the key in {KEY} holds characters that cannot be sent; correct it")
            }
            Err(Error::Io(error)) if error.kind() == ErrorKind::ConnectionRefused => {
                bail!("nothing listens at {url}; start the model's server, or correct the URL")
            }
            Err(error) => {
                bail!(
                    "{url} cannot be asked ({error}); check the URL and that its server is running"
                )
            }
        };
        let json: Option<Value> = serde_json::from_str(&body).ok();
        let said = said(json.as_ref());
        match status {
            200..=299 => {}
            401 | 403 => bail!("{url} wants a valid key ({status}{said}); put it into {KEY}"),
            404 => bail!(
                "{url} has no model `{model}` or is no such endpoint ({status}{said}); check both, the URL ends in /v1 as \
                 a rule"
            ),
            429 => bail!("{url} takes no more requests for now ({status}{said}); ask again later"),
            _ => bail!(
                "{url} answered with an error ({status}{said}); look at its server, or take another model"
            ),
        }
        let text = json
            .as_ref()
            .and_then(|own| own["choices"][0]["message"]["content"].as_str());
        match text {
            Some(text) if !text.trim().is_empty() => Ok(text.to_owned()),
            Some(_) => bail!("`{model}` at {url} wrote nothing; take another model"),
            None => bail!(
                "{url} did not answer as a chat endpoint does; check the URL, it ends in /v1 as a rule"
            ),
        }
    }
}

/// What an endpoint says of an error, on one line behind a colon.
fn said(json: Option<&Value>) -> String {
    let error = json.map(|own| &own["error"]);
    let text = error.and_then(|own| own["message"].as_str().or(own.as_str()));
    let words = text.unwrap_or_default().split_whitespace();
    let line = words.collect::<Vec<_>>().join(" ");
    let shown: String = line
        .chars()
        .filter(|own| !own.is_control())
        .take(SHOWN)
        .collect();
    match shown.is_empty() {
        true => shown,
        false => format!(": {shown}"),
    }
}

/// Whether a URL is this machine's own, which no proxy reaches.
fn is_local(url: &str) -> bool {
    let host = url.split_once("://").map_or(url, |(_, rest)| rest);
    ["localhost", "127.", "[::1]"]
        .iter()
        .any(|own| host.starts_with(own))
}

fn spinner(message: &str) -> ProgressBar {
    let bar = ProgressBar::new_spinner().with_message(message.to_owned());
    // A template that cannot be parsed leaves the plain spinner.
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}, {elapsed}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io::{Read, Write},
        net::TcpListener,
        thread::{self, JoinHandle},
    };

    /// An endpoint that gives one reply after another and returns what it was sent; nothing stands for silence.
    fn serve(replies: &[(&str, &str)]) -> (String, JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("listens");
        let url = format!("http://{}/v1", listener.local_addr().expect("has one"));
        let replies: Vec<(String, String)> = replies
            .iter()
            .map(|&(status, body)| (status.to_owned(), body.to_owned()))
            .collect();
        let serving = thread::spawn(move || {
            let answer = |(status, body): (String, String)| {
                let (mut stream, _) = listener.accept().expect("connects");
                let mut asked = Vec::new();
                let mut buffer = [0; 4096];
                while !String::from_utf8_lossy(&asked).ends_with("}") {
                    let count = stream.read(&mut buffer).expect("reads");
                    asked.extend_from_slice(&buffer[..count]);
                }
                if status.is_empty() {
                    // Until the other side gives up.
                    let _ = stream.read(&mut buffer);
                }
                let length = body.len();
                let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n");
                let _ = write!(stream, "{head}Connection: close\r\n\r\n{body}");
                String::from_utf8_lossy(&asked).into_owned()
            };
            replies.into_iter().map(answer).collect()
        });
        (url, serving)
    }

    fn ask(url: &str, key: Option<&str>) -> Result<String, String> {
        let endpoint = Endpoint {
            url,
            model: "tiny",
            key: key.map(str::to_owned),
            patience: Duration::from_secs(3),
        };
        let prompt = Prompt {
            system: "Be short.".to_owned(),
            user: "Question: why?".to_owned(),
        };
        endpoint.ask(&prompt).map_err(|error| error.to_string())
    }

    const GOOD: &str =
        r#"{"choices":[{"message":{"role":"assistant","content":"Rye rises [1]."}}]}"#;

    #[test]
    fn an_endpoint_is_asked_as_openai_is() {
        let (url, serving) = serve(&[("200 OK", GOOD)]);
        let reply = ask(&format!("{url}/"), Some("a-key"));
        assert_eq!(reply.as_deref(), Ok("Rye rises [1]."));
        let asked = serving.join().expect("serves").remove(0);
        let (head, body) = asked.split_once("\r\n\r\n").expect("has both");
        let head = head.to_lowercase();
        assert!(head.starts_with("post /v1/chat/completions "), "{head}");
        assert!(head.contains("authorization: bearer a-key"), "{head}");
        let body: Value = serde_json::from_str(body).expect("is JSON");
        assert_eq!(body["model"], "tiny");
        assert_eq!(body["messages"][1]["content"], "Question: why?");
    }

    #[test]
    fn a_model_that_wants_no_temperature_gets_none() {
        let refused = r#"{"error":{"message":"'temperature' does not support 0"}}"#;
        let (url, serving) = serve(&[("400 Bad Request", refused), ("200 OK", GOOD)]);
        assert!(ask(&url, None).is_ok());
        let asked = serving.join().expect("serves");
        assert!(asked[0].contains("temperature") && !asked[1].contains("temperature"));
        assert!(!asked[0].to_lowercase().contains("authorization"));
    }

    #[test]
    fn whatever_goes_wrong_is_one_sentence_with_the_url_and_a_remedy() {
        let check = |status: &str, body: &str, expected: &[&str]| {
            let (url, serving) = serve(&[(status, body)]);
            let error = ask(&url, None).expect_err("fails");
            assert!(error.contains(&url), "{error}");
            assert_eq!(error.lines().count(), 1, "{error}");
            for part in expected {
                assert!(error.contains(part), "{error}");
            }
            serving.join().expect("serves");
        };
        let told = r#"{"error":{"message":"no\nsuch \u001b[31mkey"}}"#;
        check("401 Unauthorized", told, &["401: no such [31mkey", KEY]);
        let absent = r#"{"error":"model 'tiny' not found, try pulling it first"}"#;
        check("404 Not Found", absent, &["`tiny`", "pulling it first"]);
        check("429 Too Many", "{}", &["(429)", "later"]);
        check("500 Internal", "oh", &["(500)", "its server"]);
        check("301 Moved\r\nLocation: http://127.0.0.1:1/", "", &["(301)"]);
        check("200 OK", "<html>hello}", &["as a chat endpoint does"]);
        check("200 OK", r#"{"choices":[]}"#, &["as a chat endpoint does"]);
        let empty = GOOD.replace("Rye rises [1].", " ");
        check("200 OK", &empty, &["`tiny`", "wrote nothing"]);
        check("", "", &["within 3 s", "smaller model"]);
    }

    #[test]
    fn a_url_that_leads_nowhere_is_named() {
        let check = |url: &str, key: Option<&str>, expected: &str| {
            let error = ask(url, key).expect_err("fails");
            assert!(error.contains(url) && error.contains(expected), "{error}");
        };
        let listener = TcpListener::bind("127.0.0.1:0").expect("listens");
        let closed = format!("http://{}/v1", listener.local_addr().expect("has one"));
        drop(listener);
        check(&closed, None, "nothing listens");
        check("localhost:11434", None, "http://localhost:11434/v1");
        check("ftp://127.0.0.1/v1", None, "http://localhost:11434/v1");
        check(&closed, Some("two\nlines"), KEY);
    }
}
