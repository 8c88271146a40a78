//! Who requests are signed for: variables of the environment, a web identity, or the role of the instance, in this order. What
//! a service lends is used until shortly before it ends.

use std::ffi::OsString;
use std::fmt;
use std::io::Read;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rusty_s3::Credentials;
use serde::Deserialize;
use ureq::Agent;

use super::http::{self, Patiences};
use crate::core::lock::lock;
use crate::storage::remote::backend::RemoteFault;
use crate::storage::user_file;

/// How long before their end lent credentials are asked for anew.
const MARGIN: SignedDuration = SignedDuration::from_mins(5);
/// The metadata service of an instance.
const METADATA: &str = "http://169.254.169.254";
/// Maximum size of an answer, in bytes.
const MAX_ANSWER_BYTES: u64 = 1 << 20;

/// Where credentials come from.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Origin {
    Variables,
    WebIdentity { token_file: String, role: String, session: String, endpoint: String },
    Instance { endpoint: String },
}

/// The credentials of a remote, asked for when they are needed first.
pub struct CredentialSource {
    origin: Result<Origin, String>,
    patience: Patiences,
    held: Mutex<Option<Held>>,
}

#[derive(Clone)]
struct Held {
    credentials: Credentials,
    until: Option<Timestamp>,
}

impl CredentialSource {
    /// By the environment, which `variable` reads.
    pub fn new(variable: &dyn Fn(&str) -> Option<OsString>, region: &str, patience: Patiences) -> Self {
        let text = |name: &str| {
            variable(name).and_then(|value| value.into_string().ok()).filter(|value| !value.is_empty())
        };
        let mut held = None;
        let origin = match (text("AWS_ACCESS_KEY_ID"), text("AWS_SECRET_ACCESS_KEY")) {
            (Some(id), Some(secret)) => {
                let credentials = match text("AWS_SESSION_TOKEN") {
                    Some(token) => Credentials::new_with_token(id, secret, token),
                    None => Credentials::new(id, secret),
                };
                held = Some(Held { credentials, until: None });
                Ok(Origin::Variables)
            }
            (Some(_), None) => Err("AWS_ACCESS_KEY_ID is set and AWS_SECRET_ACCESS_KEY is not".into()),
            (None, Some(_)) => Err("AWS_SECRET_ACCESS_KEY is set and AWS_ACCESS_KEY_ID is not".into()),
            (None, None) => match (text("AWS_WEB_IDENTITY_TOKEN_FILE"), text("AWS_ROLE_ARN")) {
                (Some(token_file), Some(role)) => Ok(Origin::WebIdentity {
                    token_file,
                    role,
                    session: text("AWS_ROLE_SESSION_NAME").unwrap_or_else(|| "runner".into()),
                    endpoint: text("AWS_ENDPOINT_URL_STS")
                        .unwrap_or_else(|| format!("https://sts.{region}.amazonaws.com")),
                }),
                _ if text("AWS_EC2_METADATA_DISABLED")
                    .is_some_and(|off| off.eq_ignore_ascii_case("true")) =>
                {
                    Err("there are no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY".into())
                }
                _ => Ok(Origin::Instance {
                    endpoint: text("AWS_EC2_METADATA_SERVICE_ENDPOINT").unwrap_or_else(|| METADATA.into()),
                }),
            },
        };
        Self { origin, patience, held: Mutex::new(held) }
    }

    /// The credentials to sign with now.
    ///
    /// # Errors
    /// There are none.
    pub fn get(&self) -> Result<Credentials, RemoteFault> {
        // One thread asks, the others wait for its answer.
        let mut held = lock(&self.held);
        let is_good = |held: &Held| held.until.is_none_or(|until| Timestamp::now() < until);
        if let Some(held) = held.as_ref().filter(|held| is_good(held)) {
            return Ok(held.credentials.clone());
        }
        let lent = self.ask()?;
        let credentials = lent.credentials.clone();
        *held = Some(lent);
        Ok(credentials)
    }

    fn ask(&self) -> Result<Held, RemoteFault> {
        match &self.origin {
            Err(problem) => Err(RemoteFault::lasting(problem)),
            Ok(Origin::Variables) => Err(RemoteFault::lasting("there are no credentials")),
            Ok(Origin::WebIdentity { token_file, role, session, endpoint }) => {
                self.of_web_identity(token_file, role, session, endpoint)
            }
            Ok(Origin::Instance { endpoint }) => self.of_instance(endpoint),
        }
    }

    fn of_web_identity(
        &self,
        token_file: &str,
        role: &str,
        session: &str,
        endpoint: &str,
    ) -> Result<Held, RemoteFault> {
        let failed = |problem: &dyn fmt::Display| {
            RemoteFault::lasting(format!("no credentials for the web identity of {role}: {problem}"))
        };
        let mut token = String::new();
        user_file::open(Path::new(token_file))
            .and_then(|file| file.take(MAX_ANSWER_BYTES).read_to_string(&mut token))
            .map_err(|error| failed(&format_args!("AWS_WEB_IDENTITY_TOKEN_FILE {token_file}: {error}")))?;
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("Action", "AssumeRoleWithWebIdentity")
            .append_pair("Version", "2011-06-15")
            .append_pair("RoleArn", role)
            .append_pair("RoleSessionName", session)
            .append_pair("WebIdentityToken", token.trim())
            .finish();
        let answer = http::agent(endpoint, self.patience)
            .post(endpoint)
            .header("Content-Type", "application/x-www-form-urlencoded")
            .header("Accept", "application/xml")
            .send(form);
        let text = body(answer).map_err(|problem| failed(&problem))?;
        let part =
            |name: &str| element(&text, name).ok_or_else(|| failed(&format_args!("the answer lacks {name}")));
        let until = part("Expiration")?.parse().map_err(|_| failed(&"its end is no time"))?;
        Ok(lent(part("AccessKeyId")?, part("SecretAccessKey")?, part("SessionToken")?, until))
    }

    fn of_instance(&self, endpoint: &str) -> Result<Held, RemoteFault> {
        // A machine that is no instance has no such address: connecting is what takes the time there.
        let patience = Patiences { connect: self.patience.connect, idle: self.patience.connect };
        let agent = http::agent(endpoint, patience);
        let failed = |problem: &dyn fmt::Display| {
            RemoteFault::lasting(format!(
                "there are no credentials: AWS_ACCESS_KEY_ID is not set, and the role of this instance cannot be had \
                 ({problem})"
            ))
        };
        let instance = || -> Result<Held, String> {
            let token = body(
                agent
                    .put(format!("{endpoint}/latest/api/token"))
                    .header("X-aws-ec2-metadata-token-ttl-seconds", "300")
                    .send_empty(),
            )?;
            let get = |path: &str| body(metadata(&agent, endpoint, path, &token));
            let roles = get("")?;
            let role =
                roles.lines().next().filter(|role| !role.is_empty()).ok_or("the instance has no role")?;
            let answer: InstanceCredentials =
                serde_json::from_str(&get(role)?).map_err(|error| error.to_string())?;
            let until = answer.expiration.parse().map_err(|_| "its end is no time".to_owned())?;
            Ok(lent(answer.access_key_id, answer.secret_access_key, answer.token, until))
        };
        instance().map_err(|problem| failed(&problem))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct InstanceCredentials {
    access_key_id: String,
    secret_access_key: String,
    token: String,
    expiration: String,
}

fn metadata(
    agent: &Agent,
    endpoint: &str,
    path: &str,
    token: &str,
) -> Result<ureq::http::Response<ureq::Body>, ureq::Error> {
    agent
        .get(format!("{endpoint}/latest/meta-data/iam/security-credentials/{path}"))
        .header("X-aws-ec2-metadata-token", token)
        .call()
}

fn lent(id: String, secret: String, token: String, until: Timestamp) -> Held {
    let until = until.checked_sub(MARGIN).unwrap_or(until);
    Held { credentials: Credentials::new_with_token(id, secret, token), until: Some(until) }
}

/// The text of a successful answer.
fn body(answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<String, String> {
    let mut answer = answer.map_err(|error| http::fault(&error).message)?;
    let status = answer.status().as_u16();
    if status != 200 {
        return Err(format!("the answer was {status}"));
    }
    let body = answer.body_mut().with_config().limit(MAX_ANSWER_BYTES).read_to_string();
    body.map_err(|error| http::fault(&error).message)
}

/// The text of the first element of that name, which holds no others.
fn element(xml: &str, name: &str) -> Option<String> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    Some(text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&"))
}

/// How long a signature of a request counts: clocks differ, and a body takes its time.
pub const SIGNATURE_LIFE: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::io::Write;
    use std::net::TcpListener;

    use super::*;

    const PATIENCE: Patiences = Patiences { connect: Duration::from_secs(5), idle: Duration::from_secs(5) };

    fn source(variables: &[(&str, &str)]) -> CredentialSource {
        let variables: HashMap<String, OsString> =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
        CredentialSource::new(&|name| variables.get(name).cloned(), "eu-west-1", PATIENCE)
    }

    /// A server that answers each request, whose first line begins as it says, with the text behind it.
    fn serve(answers: Vec<(&'static str, String)>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for (line, answer) in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut buffer = [0; 8192];
                let n = stream.read(&mut buffer).unwrap();
                let asked = String::from_utf8_lossy(&buffer[..n]).into_owned();
                assert!(asked.starts_with(line), "{asked}");
                let length = answer.len();
                let head =
                    format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
                stream.write_all((head + &answer).as_bytes()).unwrap();
            }
        });
        url
    }

    #[test]
    fn variables_come_first_and_come_in_pairs() {
        let held = source(&[("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "secret")]).get().unwrap();
        assert_eq!((held.key(), held.secret(), held.token()), ("id", "secret", None));
        let all =
            [("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "s"), ("AWS_SESSION_TOKEN", "token")];
        assert_eq!(source(&all).get().unwrap().token(), Some("token"));
        let half = source(&[("AWS_ACCESS_KEY_ID", "id")]).get().unwrap_err();
        assert!(half.message.contains("AWS_SECRET_ACCESS_KEY is not"), "{half}");
        let none = source(&[("AWS_EC2_METADATA_DISABLED", "true")]).get().unwrap_err();
        assert!(none.message.contains("no credentials"), "{none}");
    }

    #[test]
    fn a_web_identity_is_exchanged() {
        let dir = tempfile::tempdir().unwrap();
        let token = dir.path().join("token");
        std::fs::write(&token, "the token\n").unwrap();
        let answer = "<R><Credentials><AccessKeyId>id</AccessKeyId><SecretAccessKey>a&amp;b</SecretAccessKey>\
                      <SessionToken>t</SessionToken><Expiration>2999-01-01T00:00:00Z</Expiration></Credentials></R>";
        let url = serve(vec![("POST / ", answer.into())]);
        let source = source(&[
            ("AWS_WEB_IDENTITY_TOKEN_FILE", token.to_str().unwrap()),
            ("AWS_ROLE_ARN", "arn:aws:iam::1:role/r"),
            ("AWS_ENDPOINT_URL_STS", &url),
        ]);
        // The second time they are held.
        for _ in 0..2 {
            let held = source.get().unwrap();
            assert_eq!((held.key(), held.secret(), held.token()), ("id", "a&b", Some("t")));
        }
    }

    #[test]
    fn the_role_of_an_instance_is_asked_for() {
        let keys = r#"{"Code":"Success","AccessKeyId":"id","SecretAccessKey":"s","Token":"t","Expiration":"2999-01-01T00:00:00Z"}"#;
        let path = "GET /latest/meta-data/iam/security-credentials/";
        let url = serve(vec![
            ("PUT /latest/api/token ", "secret token".into()),
            (path, "my-role".into()),
            ("GET /latest/meta-data/iam/security-credentials/my-role ", keys.into()),
        ]);
        let held = source(&[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &url)]).get().unwrap();
        assert_eq!((held.key(), held.secret(), held.token()), ("id", "s", Some("t")));
    }
}
