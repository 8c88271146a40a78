//! From settings to a shared cache that can be used: its address, its keys, which way results go.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::core::run_request::CacheMode;
use crate::core::time_text::parse_duration;
use crate::ops::Error;
use crate::ops::cap::parse_size;
use crate::storage::remote::key::{SigningKey, TrustedKey};
use crate::storage::remote::s3::http::Patiences;
use crate::storage::remote::s3::{BucketPlace, S3Backend};
use crate::storage::remote::{Breaker, FolderBackend, RemoteCache, Trust, backend::Backend};
use crate::workflow::config::Config;

/// The variable with the key, where no setting names another.
pub const KEY_VARIABLE: &str = "RUNNER_CACHE_KEY";
/// What stands for no shared cache in place of an address.
pub const OFF: &str = "off";

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const DEFAULT_JOBS: usize = 16;
/// Maximum requests at once.
const MAX_JOBS: usize = 256;
const DEFAULT_MAX_SIZE: u64 = 1 << 30;
const DEFAULT_UPLOAD_WAIT: Duration = Duration::from_secs(30);
const DEFAULT_REGION: &str = "us-east-1";

/// What flags and variables say of the shared cache.
#[derive(Clone, Debug, Default)]
pub struct RemoteChoice {
    /// Its address, or `off`.
    pub url: Option<String>,
    pub mode: Option<CacheMode>,
}

/// Where a shared cache is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Folder(PathBuf),
    Bucket { bucket: String, prefix: String },
}

/// The shared cache that flags, variables and settings name, in this order; `None` where there is none, or it is off.
/// Nothing is asked of it yet.
///
/// # Errors
/// A setting that cannot be used, or a key that is missing (kind: invalid).
pub fn open(config: &Config, choice: &RemoteChoice) -> Result<Option<RemoteCache>, Error> {
    open_with(config, choice, &|name| std::env::var_os(name))
}

/// The address that is in force, as it is written; `None` where there is none.
pub fn address<'a>(config: &'a Config, choice: &'a RemoteChoice) -> Option<&'a str> {
    let url = choice.url.as_deref().or_else(|| config.text("cache.remote"));
    url.filter(|url| *url != OFF && !url.is_empty())
}

/// The address of the shared cache that a run would ask for what this home lacks; `None` where it would ask none. Needs no
/// key.
pub fn asked_address<'a>(config: &'a Config, choice: &'a RemoteChoice) -> Option<&'a str> {
    let mode = choice.mode.or_else(|| config.text("cache.remote_mode").and_then(mode_named));
    address(config, choice).filter(|_| mode.is_none_or(CacheMode::reads))
}

fn open_with(
    config: &Config,
    choice: &RemoteChoice,
    variable: &dyn Fn(&str) -> Option<OsString>,
) -> Result<Option<RemoteCache>, Error> {
    let Some(url) = address(config, choice) else { return Ok(None) };
    let asked = choice.mode.or_else(|| config.text("cache.remote_mode").and_then(mode_named));
    if asked == Some(CacheMode::Off) {
        return Ok(None);
    }
    let reader = SettingsReader { config, variable };
    let (place, url) =
        parse_url(url).map_err(|problem| Error::invalid(format!("cache.remote: {problem}")))?;
    let key = reader.key()?;
    let mut keys: Vec<TrustedKey> = key.iter().map(SigningKey::trusted).collect();
    keys.extend(reader.trusted()?);
    let unsigned = config.get("cache.remote_unsigned").is_some_and(|setting| setting.value == true);
    if keys.is_empty() && !unsigned {
        return Err(Error::invalid(format!(
            "the shared cache {url} has no key, so that nobody could say whose results it holds"
        ))
        .hint(format!(
            "make one with `runner cache key new -o FILE` and name it, remote_key = \"file:FILE\" in [cache], or put the line that \
             FILE holds into ${KEY_VARIABLE}. `remote_unsigned = true` goes without"
        )));
    }
    let can_write = key.is_some() || unsigned;
    let mode = asked.unwrap_or(if can_write { CacheMode::ReadWrite } else { CacheMode::ReadOnly });
    if mode.writes() && !can_write {
        return Err(Error::invalid(format!(
            "the shared cache {url} is to be written ({}), and there is no key that signs",
            mode.name()
        ))
        .hint(format!(
            "name one with remote_key, put one into ${KEY_VARIABLE}, or set remote_mode = \"ro\""
        )));
    }
    let backend = reader.backend(place)?;
    Ok(Some(RemoteCache {
        backend,
        breaker: Breaker::of(&url),
        url: Arc::from(url),
        key,
        trust: Trust { keys, unsigned },
        mode,
        max_size: reader.size("remote_max_size", DEFAULT_MAX_SIZE)?,
        jobs: config
            .get("cache.remote_jobs")
            .and_then(|setting| setting.value.as_u64())
            .map_or(DEFAULT_JOBS, |jobs| usize::try_from(jobs).unwrap_or(MAX_JOBS).clamp(1, MAX_JOBS)),
        upload_wait: reader.duration("remote_upload_wait", DEFAULT_UPLOAD_WAIT)?,
        timeout: reader.duration("remote_timeout", DEFAULT_TIMEOUT)?,
    }))
}

fn mode_named(text: &str) -> Option<CacheMode> {
    [CacheMode::ReadWrite, CacheMode::ReadOnly, CacheMode::WriteOnly, CacheMode::Off]
        .into_iter()
        .find(|mode| mode.name() == text)
}

/// The place that an address names, and the address without what does not matter.
fn parse_url(url: &str) -> Result<(Place, String), String> {
    if let Some(path) = url.strip_prefix("file://") {
        if !path.starts_with('/') {
            return Err(format!(
                "{url:?} names no folder: a folder is file:// and an absolute path, file:///mnt/cache"
            ));
        }
        let trimmed = path.trim_end_matches('/');
        if trimmed.is_empty() {
            return Err("the root of the file system cannot be a shared cache".into());
        }
        return Ok((Place::Folder(trimmed.into()), format!("file://{trimmed}")));
    }
    let Some(rest) = url.strip_prefix("s3://") else {
        return Err(format!(
            "{url:?} is no address of a shared cache: expected s3://BUCKET/PREFIX or file:///FOLDER"
        ));
    };
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let prefix = prefix.trim_matches('/');
    if bucket.is_empty()
        || !bucket.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
    {
        return Err(format!("{url:?} names no bucket: expected s3://BUCKET/PREFIX"));
    }
    if prefix.split('/').any(|part| matches!(part, "." | "..")) {
        return Err(format!("the prefix of {url:?} has a part that is `.` or `..`"));
    }
    let whole = if prefix.is_empty() { format!("s3://{bucket}") } else { format!("s3://{bucket}/{prefix}") };
    Ok((Place::Bucket { bucket: bucket.into(), prefix: prefix.into() }, whole))
}

struct SettingsReader<'a> {
    config: &'a Config,
    variable: &'a dyn Fn(&str) -> Option<OsString>,
}

impl SettingsReader<'_> {
    fn variable(&self, name: &str) -> Option<String> {
        (self.variable)(name)?.into_string().ok().filter(|value| !value.is_empty())
    }

    /// What is wrong with a setting, and where it stands.
    fn wrong(&self, name: &str, problem: &str) -> Error {
        let place = self.config.get(&format!("cache.{name}")).map(|setting| {
            let (path, line) = self.config.line_of(setting.place);
            format!("{}:{line}: ", path.display())
        });
        Error::invalid(format!("{}{name}: {problem}", place.unwrap_or_default()))
    }

    /// A path of a setting: relative to the file that the setting stands in.
    fn path(&self, name: &str, path: &str) -> PathBuf {
        let folder = self.config.get(&format!("cache.{name}")).and_then(|setting| {
            let (file, _) = self.config.line_of(setting.place);
            file.parent().map(Path::to_owned)
        });
        folder.unwrap_or_default().join(path)
    }

    fn key(&self) -> Result<Option<SigningKey>, Error> {
        let name = "remote_key";
        let Some(setting) = self.config.text("cache.remote_key") else {
            let text = self.variable(KEY_VARIABLE);
            let key = text.map(|text| SigningKey::parse(&text)).transpose();
            return key.map_err(|problem| Error::invalid(format!("the variable {KEY_VARIABLE}: {problem}")));
        };
        if let Some(path) = setting.strip_prefix("file:") {
            let key = SigningKey::read(&self.path(name, path));
            return key.map(Some).map_err(|problem| self.wrong(name, &problem));
        }
        let Some(variable) = setting.strip_prefix("env:") else {
            return Err(self.wrong(
                name,
                "expected \"file:PATH\" or \"env:NAME\": a key does not stand in settings itself",
            ));
        };
        let text = self
            .variable(variable)
            .ok_or_else(|| self.wrong(name, &format!("the variable {variable} is not set")))?;
        let key = SigningKey::parse(&text);
        key.map(Some).map_err(|problem| self.wrong(name, &format!("the variable {variable}: {problem}")))
    }

    fn trusted(&self) -> Result<Vec<TrustedKey>, Error> {
        let name = "remote_trust";
        let texts = self.config.get("cache.remote_trust").and_then(|setting| setting.value.as_array());
        let keys = texts.into_iter().flatten().filter_map(|text| text.as_str()).map(|text| {
            let key = match text.strip_prefix("file:") {
                Some(path) => TrustedKey::read(&self.path(name, path)),
                None if text.starts_with("ed25519:") => TrustedKey::parse(text),
                None => Err(format!(
                    "expected \"ed25519:BASE64\" or \"file:PATH\", found one that begins with {:?}",
                    text.split(':').next().unwrap_or_default().chars().take(16).collect::<String>()
                )),
            };
            key.map_err(|problem| self.wrong(name, &problem))
        });
        keys.collect()
    }

    fn backend(&self, place: Place) -> Result<Box<dyn Backend>, Error> {
        let (bucket, prefix) = match place {
            Place::Folder(folder) => return Ok(Box::new(FolderBackend::new(folder))),
            Place::Bucket { bucket, prefix } => (bucket, prefix),
        };
        let setting = |name: &str| self.config.text(&format!("cache.{name}")).map(str::to_owned);
        let endpoint = setting("remote_endpoint").or_else(|| self.variable("AWS_ENDPOINT_URL"));
        let endpoint = endpoint.map(|url| url.trim_end_matches('/').to_owned());
        if let Some(url) = &endpoint {
            let allowed = self.variable("AWS_ALLOW_HTTP").is_some_and(|on| on.eq_ignore_ascii_case("true"));
            match url {
                url if url.starts_with("https://") => {}
                url if url.starts_with("http://") && allowed => {}
                url if url.starts_with("http://") => {
                    let problem = format!("{url} is not encrypted: use https://, or set AWS_ALLOW_HTTP=true");
                    return Err(self.wrong("remote_endpoint", &problem));
                }
                _ => {
                    return Err(self
                        .wrong("remote_endpoint", &format!("{url:?} is no address: expected https://HOST")));
                }
            }
        }
        let region = setting("remote_region")
            .or_else(|| self.variable("AWS_REGION"))
            .or_else(|| self.variable("AWS_DEFAULT_REGION"));
        let patience = Patiences {
            connect: self.duration("remote_connect_timeout", DEFAULT_CONNECT_TIMEOUT)?,
            idle: self.duration("remote_timeout", DEFAULT_TIMEOUT)?,
        };
        let region = region.unwrap_or_else(|| DEFAULT_REGION.into());
        let place = BucketPlace { bucket, prefix, endpoint, region, patience };
        let backend =
            S3Backend::new(place, self.variable).map_err(|problem| self.wrong("remote", &problem))?;
        Ok(Box::new(backend))
    }

    fn duration(&self, name: &str, default: Duration) -> Result<Duration, Error> {
        let Some(text) = self.config.text(&format!("cache.{name}")) else { return Ok(default) };
        let duration = parse_duration(text).ok().and_then(|duration| Duration::try_from(duration).ok());
        duration.ok_or_else(|| self.wrong(name, &format!("expected a duration such as 10s, found {text:?}")))
    }

    fn size(&self, name: &str, default: u64) -> Result<u64, Error> {
        let Some(text) = self.config.text(&format!("cache.{name}")) else { return Ok(default) };
        parse_size(text).map_err(|problem| self.wrong(name, &problem))
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::storage::remote::key::{Algorithm, make};
    use crate::workflow::config::load;

    /// The shared cache that these lines of `[cache]` and these variables name.
    fn opened(lines: &str, variables: &[(&str, &str)]) -> Result<Option<RemoteCache>, String> {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("runner.toml"), format!("[cache]\n{lines}")).unwrap();
        let key = dir.path().join("key");
        fs::write(&key, make(Algorithm::Ed25519).unwrap()).unwrap();
        fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
        let config = load(dir.path(), None, &|_| None).map_err(|_| "the file is wrong".to_owned())?;
        let variable =
            |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).into());
        open_with(&config, &RemoteChoice::default(), &variable).map_err(|error| error.to_string())
    }

    fn refused(lines: &str, variables: &[(&str, &str)]) -> String {
        opened(lines, variables).err().unwrap_or_else(|| panic!("{lines} is taken"))
    }

    const KEY: &str = "hmac:0000000000000000000000000000000000000000000000000000000000000001";

    #[test]
    fn addresses_are_read() {
        let folder = |path: &str| Place::Folder(path.into());
        let bucket =
            |bucket: &str, prefix: &str| Place::Bucket { bucket: bucket.into(), prefix: prefix.into() };
        for (text, place, url) in [
            ("file:///a/b/", folder("/a/b"), "file:///a/b"),
            ("s3://b", bucket("b", ""), "s3://b"),
            ("s3://b/", bucket("b", ""), "s3://b"),
            ("s3://b/c/d/", bucket("b", "c/d"), "s3://b/c/d"),
        ] {
            assert_eq!(parse_url(text), Ok((place, url.to_owned())));
        }
        for odd in
            ["", "b", "file://a", "file:///", "s3://", "s3:///x", "s3://b/../x", "gs://b", "s3://b ?/x"]
        {
            assert!(parse_url(odd).is_err(), "{odd}");
        }
    }

    #[test]
    fn without_a_key_it_is_refused_and_says_how_to_make_one() {
        let text = refused("remote = \"file:///x\"", &[]);
        assert!(text.contains("runner cache key new"), "{text}");
        let open = opened("remote = \"file:///x\"\nremote_unsigned = true", &[]).unwrap().unwrap();
        assert!(open.trust.unsigned && open.key.is_none() && open.mode == CacheMode::ReadWrite);
        let keyed = opened("remote = \"file:///x\"", &[(KEY_VARIABLE, KEY)]).unwrap().unwrap();
        assert!(keyed.key.is_some() && !keyed.trust.unsigned);
        assert!(opened("remote = \"off\"", &[]).unwrap().is_none());
        assert!(opened("remote = \"file:///x\"\nremote_mode = \"off\"", &[]).unwrap().is_none());
        assert!(opened("", &[]).unwrap().is_none());
    }

    #[test]
    fn only_one_that_is_read_would_be_asked() {
        let asked = |lines: &str, choice: RemoteChoice| {
            let dir = tempfile::tempdir().unwrap();
            fs::write(dir.path().join("runner.toml"), format!("[cache]\n{lines}")).unwrap();
            let config = load(dir.path(), None, &|_| None).unwrap_or_else(|_| panic!("{lines}"));
            asked_address(&config, &choice).map(str::to_owned)
        };
        let none = RemoteChoice::default;
        assert_eq!(asked("", none()), None);
        assert_eq!(asked("remote = \"file:///x\"", none()).unwrap(), "file:///x");
        assert_eq!(asked("remote = \"file:///x\"\nremote_mode = \"wo\"", none()), None);
        let off = RemoteChoice { url: Some(OFF.into()), mode: None };
        assert_eq!(asked("remote = \"file:///x\"", off), None);
        let read = RemoteChoice { url: None, mode: Some(CacheMode::ReadOnly) };
        assert_eq!(asked("remote = \"file:///x\"\nremote_mode = \"off\"", read).unwrap(), "file:///x");
    }

    #[test]
    fn with_trusted_keys_alone_it_is_only_read() {
        let trust = "remote = \"file:///x\"\nremote_trust = [\"file:key\"]";
        let open = opened(trust, &[]).unwrap().unwrap();
        assert_eq!((open.mode, open.trust.keys.len()), (CacheMode::ReadOnly, 1));
        let text = refused(&format!("{trust}\nremote_mode = \"rw\""), &[]);
        assert!(text.contains("no key that signs"), "{text}");
        let both = opened(&format!("{trust}\nremote_key = \"file:key\""), &[]).unwrap().unwrap();
        assert_eq!((both.mode, both.trust.keys.len()), (CacheMode::ReadWrite, 2));
    }

    #[test]
    fn what_cannot_be_used_is_named_with_its_place() {
        let s3 = "remote = \"s3://b\"\nremote_unsigned = true\n";
        let plain = refused(&format!("{s3}remote_endpoint = \"http://h\""), &[]);
        assert!(plain.contains("runner.toml:4") && plain.contains("AWS_ALLOW_HTTP"), "{plain}");
        assert!(
            opened(&format!("{s3}remote_endpoint = \"http://h\""), &[("AWS_ALLOW_HTTP", "true")]).is_ok()
        );
        let folder = "remote = \"file:///x\"\n";
        for (line, expected) in [
            ("remote_key = \"hmac:1\"", "does not stand in settings"),
            ("remote_key = \"env:NOT_SET\"", "NOT_SET is not set"),
            ("remote_key = \"file:none\"", "none"),
            ("remote_trust = [\"x\"]", "ed25519:BASE64"),
            ("remote_unsigned = true\nremote_max_size = \"1\"", "1GiB"),
        ] {
            let text = refused(&format!("{folder}{line}"), &[]);
            assert!(text.contains(expected), "{line}: {text}");
        }
        let secret = refused(folder, &[(KEY_VARIABLE, "hmac:secret")]);
        assert!(!secret.contains("secret") && secret.contains(KEY_VARIABLE), "{secret}");
    }
}
