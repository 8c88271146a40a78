//! A shared cache in a bucket of S3, or of a server that speaks like it. rusty-s3 signs the requests, ureq makes them.
//!
//! Each put names the SHA-256 of its content, which the server checks, and where there must be no object, `If-None-Match: *`.

mod credentials;
pub mod http;

use std::ffi::OsString;
use std::fmt;
use std::io::{Read, Seek, SeekFrom};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rusty_s3::actions::ListObjectsV2;
use rusty_s3::{Bucket, Credentials, S3Action, UrlStyle};
use ureq::http::Response;
use ureq::{Agent, Body, SendBody};

use self::credentials::{CredentialSource, SIGNATURE_LIFE};
use self::http::Patiences;
use super::backend::{
    Backend, Creation, ObjectContent, ObjectKind, ObjectLooks, ObjectName, ReadObject, RemoteFault,
};

/// Maximum size of a page of a listing, in bytes.
const MAX_PAGE_BYTES: u64 = 16 << 20;
/// Maximum bytes of an error's text that are read.
const MAX_FAULT_BYTES: u64 = 16 << 10;

/// Where a bucket is, and how long its requests may take.
pub struct BucketPlace {
    pub bucket: String,
    /// What the names of objects begin with, without slashes at its ends; may be empty.
    pub prefix: String,
    /// `None` for AWS.
    pub endpoint: Option<String>,
    pub region: String,
    pub patience: Patiences,
}

/// A shared cache in a bucket.
pub struct S3Backend {
    bucket: Bucket,
    prefix: String,
    credentials: CredentialSource,
    agent: Agent,
}

impl S3Backend {
    /// # Errors
    /// The endpoint is no address, or the bucket has a name that none has.
    pub fn new(place: BucketPlace, variable: &dyn Fn(&str) -> Option<OsString>) -> Result<Self, String> {
        let BucketPlace { bucket, prefix, endpoint, region, patience } = place;
        // A name with dots does not fit the certificates of AWS.
        let style = match endpoint.is_some() || bucket.contains('.') {
            true => UrlStyle::Path,
            false => UrlStyle::VirtualHost,
        };
        let endpoint = endpoint.unwrap_or_else(|| format!("https://s3.{region}.amazonaws.com"));
        let url = endpoint.parse().map_err(|_| format!("the endpoint {endpoint:?} is no address"))?;
        let credentials = CredentialSource::new(variable, &region, patience);
        let bucket = Bucket::new(url, style, bucket.clone(), region)
            .map_err(|error| format!("the bucket {bucket:?} cannot be used: {error}"))?;
        Ok(Self { bucket, prefix, credentials, agent: http::agent(&endpoint, patience) })
    }

    fn key(&self, name: &ObjectName) -> String {
        self.below(&name.to_string())
    }

    fn below(&self, name: &str) -> String {
        if self.prefix.is_empty() { name.to_owned() } else { format!("{}/{name}", self.prefix) }
    }

    fn signed<'a>(&self, mut action: impl S3Action<'a>, headers: &[(&'static str, String)]) -> String {
        for (name, value) in headers {
            action.headers_mut().insert(*name, value.clone());
        }
        action.sign(SIGNATURE_LIFE).to_string()
    }

    fn put(
        &self,
        name: &ObjectName,
        content: ObjectContent,
        only_new: bool,
    ) -> Result<Creation, RemoteFault> {
        let credentials = self.credentials.get()?;
        let key = self.key(name);
        let mut headers = vec![("x-amz-checksum-sha256", STANDARD.encode(content.digest().0))];
        if only_new {
            headers.push(("if-none-match", "*".to_owned()));
        }
        let url = self.signed(self.bucket.put_object(Some(&credentials), &key), &headers);
        let mut request = self.agent.put(&url).header("content-length", content.size().to_string());
        for (name, value) in &headers {
            request = request.header(*name, value);
        }
        let answer = match content {
            ObjectContent::Bytes(bytes) => request.send(bytes),
            ObjectContent::File { mut file, size, .. } => {
                file.seek(SeekFrom::Start(0)).map_err(|error| RemoteFault::lasting(error.to_string()))?;
                request.send(SendBody::from_reader(&mut file.take(size)))
            }
        };
        let answer = answer.map_err(|error| http::fault(&error))?;
        match answer.status().as_u16() {
            200..300 => Ok(Creation::Made),
            412 if only_new => Ok(Creation::Exists),
            // Two made it at once; which of them did is seen by who tries again.
            409 if only_new => Err(RemoteFault::passing("another writer makes the same object just now")),
            _ => Err(refused(answer)),
        }
    }

    fn page(
        &self,
        credentials: &Credentials,
        prefix: &str,
        token: Option<String>,
    ) -> Result<Page, RemoteFault> {
        let mut list = self.bucket.list_objects_v2(Some(credentials));
        list.with_prefix(prefix.to_owned());
        if let Some(token) = token {
            list.with_continuation_token(token);
        }
        let url = list.sign(SIGNATURE_LIFE).to_string();
        let mut answer = self.agent.get(&url).call().map_err(|error| http::fault(&error))?;
        if answer.status().as_u16() != 200 {
            return Err(refused(answer));
        }
        let text = answer
            .body_mut()
            .with_config()
            .limit(MAX_PAGE_BYTES)
            .read_to_string()
            .map_err(|error| http::fault(&error))?;
        let odd =
            |problem: &dyn fmt::Display| RemoteFault::lasting(format!("the listing is malformed: {problem}"));
        let page = ListObjectsV2::parse_response(&text).map_err(|error| odd(&error))?;
        let objects = page.contents.into_iter().map(|object| {
            let modified = object.last_modified.and_then(|time| time.parse().ok());
            (object.key, ObjectLooks { size: object.size.unwrap_or(0), modified })
        });
        Ok(Page { objects: objects.collect(), next: page.next_continuation_token })
    }
}

/// A part of a listing.
struct Page {
    objects: Vec<(String, ObjectLooks)>,
    next: Option<String>,
}

fn looks(answer: &Response<Body>) -> ObjectLooks {
    let header = |name: &str| answer.headers().get(name)?.to_str().ok();
    let modified = header("last-modified")
        .and_then(|text| jiff::fmt::rfc2822::parse(text).ok())
        .map(|time| time.timestamp());
    ObjectLooks { size: header("content-length").and_then(|size| size.parse().ok()).unwrap_or(0), modified }
}

/// The fault that an answer reports. What the server says of itself is not repeated but for its code.
fn refused(mut answer: Response<Body>) -> RemoteFault {
    let status = answer.status().as_u16();
    let text = answer.body_mut().with_config().limit(MAX_FAULT_BYTES).read_to_string().unwrap_or_default();
    let code = text
        .split_once("<Code>")
        .and_then(|(_, rest)| rest.split_once("</Code>"))
        .map(|(code, _)| code.chars().filter(char::is_ascii_alphanumeric).take(40).collect::<String>())
        .filter(|code| !code.is_empty())
        .map_or_else(String::new, |code| format!(" {code}"));
    let message = format!("the answer was {status}{code}");
    match status {
        408 | 429 | 500.. => RemoteFault::passing(message),
        _ => RemoteFault::lasting(message),
    }
}

/// Whether the answer says that there is no such object; a bucket that is missing is a fault.
fn is_absent(answer: &mut Response<Body>) -> bool {
    if answer.status().as_u16() != 404 {
        return false;
    }
    let text = answer.body_mut().with_config().limit(MAX_FAULT_BYTES).read_to_string().unwrap_or_default();
    !text.contains("NoSuchBucket")
}

impl Backend for S3Backend {
    fn get(&self, name: &ObjectName) -> Result<Option<ReadObject>, RemoteFault> {
        let credentials = self.credentials.get()?;
        let key = self.key(name);
        let url = self.signed(self.bucket.get_object(Some(&credentials), &key), &[]);
        let mut answer = self.agent.get(&url).call().map_err(|error| http::fault(&error))?;
        match answer.status().as_u16() {
            200 => {
                let looks = looks(&answer);
                let content: Box<dyn Read + Send> =
                    Box::new(answer.into_body().into_with_config().limit(u64::MAX).reader());
                Ok(Some(ReadObject { looks, content }))
            }
            404 => match is_absent(&mut answer) {
                true => Ok(None),
                false => Err(RemoteFault::lasting(format!("there is no bucket {}", self.bucket.name()))),
            },
            _ => Err(refused(answer)),
        }
    }

    fn look(&self, name: &ObjectName) -> Result<Option<ObjectLooks>, RemoteFault> {
        let credentials = self.credentials.get()?;
        let key = self.key(name);
        let url = self.signed(self.bucket.head_object(Some(&credentials), &key), &[]);
        let answer = self.agent.head(&url).call().map_err(|error| http::fault(&error))?;
        match answer.status().as_u16() {
            200 => Ok(Some(looks(&answer))),
            404 => Ok(None),
            _ => Err(refused(answer)),
        }
    }

    fn create(&self, name: &ObjectName, content: ObjectContent) -> Result<Creation, RemoteFault> {
        self.put(name, content, true)
    }

    fn replace(&self, name: &ObjectName, content: ObjectContent) -> Result<(), RemoteFault> {
        self.put(name, content, false).map(drop)
    }

    fn remove(&self, name: &ObjectName) -> Result<(), RemoteFault> {
        let credentials = self.credentials.get()?;
        let key = self.key(name);
        let url = self.signed(self.bucket.delete_object(Some(&credentials), &key), &[]);
        let answer = self.agent.delete(&url).call().map_err(|error| http::fault(&error))?;
        match answer.status().as_u16() {
            200..300 | 404 => Ok(()),
            _ => Err(refused(answer)),
        }
    }

    fn list(
        &self,
        kind: ObjectKind,
        visit: &mut dyn FnMut(ObjectName, ObjectLooks),
    ) -> Result<(), RemoteFault> {
        let prefix = self.below(&kind.folder()) + "/";
        let mut token: Option<String> = None;
        loop {
            let credentials = self.credentials.get()?;
            let page =
                self.page(&credentials, &prefix, token.clone()).or_else(|fault| match fault.passes {
                    true => self.page(&credentials, &prefix, token.clone()),
                    false => Err(fault),
                })?;
            for (key, looks) in page.objects {
                if let Some(name) = key.strip_prefix(&prefix).and_then(|rest| kind.parse(rest)) {
                    visit(name, looks);
                }
            }
            match page.next {
                Some(next) if Some(&next) != token.as_ref() => token = Some(next),
                _ => return Ok(()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn the_time_of_http_is_read() {
        let answer = Response::builder()
            .header("last-modified", "Wed, 21 Oct 2015 07:28:00 GMT")
            .header("content-length", "12")
            .body(Body::builder().data(""))
            .unwrap();
        let expected: Timestamp = "2015-10-21T07:28:00Z".parse().unwrap();
        assert_eq!(looks(&answer), ObjectLooks { size: 12, modified: Some(expected) });
    }

    #[test]
    fn a_fault_names_status_and_code_and_says_whether_it_passes() {
        let answer = |status: u16, text: &str| {
            Response::builder().status(status).body(Body::builder().data(text.to_owned())).unwrap()
        };
        let slow = refused(answer(503, "<Error><Code>SlowDown</Code></Error>"));
        assert_eq!(slow, RemoteFault::passing("the answer was 503 SlowDown"));
        assert_eq!(refused(answer(403, "<html>")), RemoteFault::lasting("the answer was 403"));
        assert!(is_absent(&mut answer(404, "<Code>NoSuchKey</Code>")));
        assert!(!is_absent(&mut answer(404, "<Code>NoSuchBucket</Code>")));
    }
}
