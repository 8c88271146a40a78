//! Who has the token, a login code or a session. Secrets are compared in constant time, and sessions kept as digests.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use jiff::Timestamp;

use crate::core::clock::Clock;
use crate::core::digest::Digest;
use crate::core::lock::lock;
use crate::ops::Error;
use crate::ops::web_access::{ServeFiles, ServeToken, SessionLine, random_hex};

/// How long a login code is good.
const CODE_LIFE: Duration = Duration::from_secs(10 * 60);
/// Maximum codes at a time; the oldest goes.
const MAX_CODES: usize = 100;
/// How long a session lasts.
pub const SESSION_LIFE: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// Maximum sessions at a time; the oldest goes.
const MAX_SESSIONS: usize = 1000;
/// How many wrong codes and tokens a minute may have.
const MAX_WRONG: u32 = 10;
const WRONG_WINDOW: Duration = Duration::from_secs(60);

/// What a login was answered with.
#[derive(Debug, PartialEq, Eq)]
pub enum Login {
    /// The secret of the new session.
    Session(String),
    Wrong,
    /// Too many wrong ones; the rest of the minute, in seconds.
    TooMany(u64),
}

/// A code for one login.
pub struct LoginCode {
    pub code: String,
    pub expires: Timestamp,
}

/// The secrets that let somebody in.
pub struct WebAccess {
    files: ServeFiles,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

struct State {
    token: ServeToken,
    codes: VecDeque<(Digest, Timestamp)>,
    sessions: Vec<SessionLine>,
    wrong: u32,
    /// When the minute began in which the wrong ones are counted.
    wrong_since: Timestamp,
}

impl WebAccess {
    /// Reads the token, made if there is none, and the sessions that are good with it.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn open(files: ServeFiles, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let token = files.token()?;
        let now = clock.now();
        let valid = Digest::of(&token.text);
        let mut sessions = files.sessions()?;
        sessions.retain(|line| line.token == valid && line.until > now);
        let state =
            State { token, codes: VecDeque::new(), sessions, wrong: 0, wrong_since: Timestamp::UNIX_EPOCH };
        Ok(Self { files, clock, state: Mutex::new(state) })
    }

    pub fn files(&self) -> &ServeFiles {
        &self.files
    }

    fn state(&self) -> MutexGuard<'_, State> {
        let mut state = lock(&self.state);
        if !self.files.is_current(&state.token)
            && let Ok(token) = self.files.token()
        {
            let is_other = token.text != state.token.text;
            state.token = token;
            if is_other {
                state.codes.clear();
                state.sessions.clear();
            }
        }
        state
    }

    /// Whether this is the token.
    pub fn is_token(&self, given: &str) -> bool {
        is_same(&self.state().token.text, given)
    }

    /// Whether this is the secret of a session.
    pub fn is_session(&self, given: &str) -> bool {
        let now = self.clock.now();
        let given = Digest::of(given);
        let state = self.state();
        // All of them are compared, however early one fits.
        let found =
            state.sessions.iter().filter(|line| is_same_digest(line.session, given) & (line.until > now));
        found.count() > 0
    }

    /// A new code for one login.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub fn new_code(&self) -> Result<LoginCode, Error> {
        let code = random_hex().map_err(|error| Error::failed(format!("no random bytes: {error}")))?;
        let expires = self.clock.now() + CODE_LIFE;
        let mut state = self.state();
        if state.codes.len() == MAX_CODES {
            state.codes.pop_front();
        }
        state.codes.push_back((Digest::of(&code), expires));
        Ok(LoginCode { code, expires })
    }

    /// Begins a session for whoever has a code or the token.
    ///
    /// # Errors
    /// The session cannot be put on record.
    pub fn log_in(&self, code: Option<&str>, token: Option<&str>) -> Result<Login, Error> {
        let now = self.clock.now();
        let mut state = self.state();
        let minute_left = WRONG_WINDOW.as_secs() as i64 - (now.as_second() - state.wrong_since.as_second());
        // A clock that was set back begins a new minute.
        if minute_left <= 0 || minute_left > WRONG_WINDOW.as_secs() as i64 {
            (state.wrong, state.wrong_since) = (0, now);
        } else if state.wrong >= MAX_WRONG {
            return Ok(Login::TooMany(minute_left.unsigned_abs()));
        }
        let by_code = code.is_some_and(|code| take_code(&mut state.codes, code, now));
        let by_token = token.is_some_and(|given| is_same(&state.token.text, given.trim()));
        if !by_code && !by_token {
            state.wrong += 1;
            return Ok(Login::Wrong);
        }
        let secret = random_hex().map_err(|error| Error::failed(format!("no random bytes: {error}")))?;
        let token = Digest::of(&state.token.text);
        state.sessions.retain(|line| line.until > now);
        if state.sessions.len() >= MAX_SESSIONS {
            state.sessions.remove(0);
        }
        state.sessions.push(SessionLine::new(Digest::of(&secret), token, now + SESSION_LIFE));
        self.files.write_sessions(&state.sessions)?;
        Ok(Login::Session(secret))
    }

    /// Ends a session.
    ///
    /// # Errors
    /// Its end cannot be put on record.
    pub fn log_out(&self, secret: &str) -> Result<(), Error> {
        let mut state = self.state();
        let ended = Digest::of(secret);
        state.sessions.retain(|line| line.session != ended);
        self.files.write_sessions(&state.sessions)
    }
}

/// Takes a code out; whether it was there and still good.
fn take_code(codes: &mut VecDeque<(Digest, Timestamp)>, given: &str, now: Timestamp) -> bool {
    let given = Digest::of(given);
    let mut found = false;
    codes.retain(|(code, expires)| {
        let fits = is_same_digest(*code, given);
        found |= fits & (*expires > now);
        !fits && *expires > now
    });
    found
}

/// Whether two texts are equal, in a time that tells nothing of where they differ or how long they are.
fn is_same(own: &str, given: &str) -> bool {
    is_same_digest(Digest::of(own), Digest::of(given))
}

fn is_same_digest(own: Digest, given: Digest) -> bool {
    let differing = own.0.iter().zip(given.0).fold(0, |all, (a, b)| std::hint::black_box(all | (a ^ b)));
    differing == 0
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    struct SetClock(Mutex<Timestamp>);

    impl SetClock {
        fn forward(&self, by: Duration) {
            let mut now = self.0.lock().unwrap();
            *now += by;
        }
    }

    impl Clock for SetClock {
        fn now(&self) -> Timestamp {
            *self.0.lock().unwrap()
        }
    }

    struct Trial {
        dir: tempfile::TempDir,
        clock: Arc<SetClock>,
    }

    impl Trial {
        fn new() -> Self {
            let start = "2026-11-28T10:00:00Z".parse().unwrap();
            Self { dir: tempfile::tempdir().unwrap(), clock: Arc::new(SetClock(Mutex::new(start))) }
        }

        fn access(&self) -> WebAccess {
            let files = ServeFiles::open(Some(self.dir.path()), None).unwrap();
            WebAccess::open(files, self.clock.clone()).unwrap()
        }

        fn token(&self) -> String {
            fs::read_to_string(self.dir.path().join("serve.token")).unwrap().trim().to_owned()
        }
    }

    fn session(login: Login) -> String {
        match login {
            Login::Session(secret) => secret,
            other => panic!("no session: {other:?}"),
        }
    }

    #[test]
    fn a_code_is_good_once_and_for_ten_minutes() {
        let trial = Trial::new();
        let access = trial.access();
        let code = access.new_code().unwrap().code;
        let secret = session(access.log_in(Some(&code), None).unwrap());
        assert!(access.is_session(&secret) && !access.is_session(&code));
        assert_eq!(access.log_in(Some(&code), None).unwrap(), Login::Wrong);
        let late = access.new_code().unwrap().code;
        trial.clock.forward(CODE_LIFE);
        assert_eq!(access.log_in(Some(&late), None).unwrap(), Login::Wrong);
    }

    #[test]
    fn ten_wrong_ones_close_the_door_for_the_rest_of_the_minute() {
        let trial = Trial::new();
        let access = trial.access();
        for _ in 0..MAX_WRONG {
            assert_eq!(access.log_in(None, Some("wrong")).unwrap(), Login::Wrong);
        }
        trial.clock.forward(Duration::from_secs(20));
        // The right one as well: the answer tells nothing.
        assert_eq!(access.log_in(None, Some(&trial.token())).unwrap(), Login::TooMany(40));
        trial.clock.forward(Duration::from_secs(40));
        session(access.log_in(None, Some(&trial.token())).unwrap());
    }

    #[test]
    fn sessions_outlive_the_daemon_and_end_with_time_logout_or_token() {
        let trial = Trial::new();
        let one = session(trial.access().log_in(None, Some(&trial.token())).unwrap());
        let access = trial.access();
        assert!(access.is_session(&one));
        let kept = fs::read_to_string(trial.dir.path().join("serve.sessions")).unwrap();
        assert!(!kept.contains(&one) && kept.contains(&Digest::of(&one).hex()));
        let two = session(access.log_in(None, Some(&trial.token())).unwrap());
        access.log_out(&one).unwrap();
        assert!(!access.is_session(&one) && access.is_session(&two));
        assert!(!trial.access().is_session(&one));
        trial.clock.forward(SESSION_LIFE);
        assert!(!access.is_session(&two) && !trial.access().is_session(&two));
    }

    #[test]
    fn a_removed_token_is_replaced_and_ends_everything() {
        let trial = Trial::new();
        let access = trial.access();
        let old = trial.token();
        let secret = session(access.log_in(None, Some(&old)).unwrap());
        let code = access.new_code().unwrap().code;
        fs::remove_file(trial.dir.path().join("serve.token")).unwrap();
        assert!(!access.is_token(&old) && !access.is_session(&secret));
        assert!(access.is_token(&trial.token()));
        assert_eq!(access.log_in(Some(&code), None).unwrap(), Login::Wrong);
        assert!(!trial.access().is_session(&secret), "also after a restart");
    }
}
