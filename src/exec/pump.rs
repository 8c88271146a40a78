//! Carries what a command prints through a mask into a file.
//!
//! Only commands with secrets need it: all others write to their files themselves.

use std::fs::File;
use std::io::{self, PipeWriter, Write};

use rustix::io::Errno;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::secrets::{MaskedStream, Masker};

/// How much is read at a time, in bytes.
const CHUNK: usize = 64 * 1024;

/// The most that a pipe can hold unless the system's administrator raised the limit, in bytes.
const MAX_PIPE_BYTES: usize = 1024 * 1024;

/// A pipe whose other end goes to a file, masked.
pub struct Pump {
    task: JoinHandle<io::Result<()>>,
    stop: oneshot::Sender<()>,
}

impl Pump {
    /// Begins to pump into `file`; the writing end is for the command.
    ///
    /// # Errors
    /// The system has no pipe left.
    pub fn start(file: File, masker: &Masker) -> io::Result<(Self, PipeWriter)> {
        let (reader, writer) = io::pipe()?;
        let reader = Receiver::from_owned_fd(reader.into())?;
        let (stop, stopped) = oneshot::channel();
        let sink = Sink { file, stream: masker.stream(), masked: Vec::new() };
        Ok((Self { task: tokio::spawn(pump(reader, sink, stopped)), stop }, writer))
    }

    /// Writes what is in the pipe by now, and ends. Some process that escaped may hold the other end, so the
    /// pipe's end is not waited for.
    ///
    /// # Errors
    /// The file cannot be written.
    pub async fn finish(self) -> io::Result<()> {
        // If the pump has ended by itself, the receiver is gone.
        let _ = self.stop.send(());
        self.task.await.unwrap_or_else(|error| Err(io::Error::other(error)))
    }
}

/// Waits until everything that was printed is written.
///
/// # Errors
/// It cannot be written.
pub async fn finish(pumps: Vec<Pump>) -> io::Result<()> {
    let mut result = Ok(());
    for pump in pumps {
        result = result.and(pump.finish().await);
    }
    result
}

async fn pump(mut reader: Receiver, mut sink: Sink, mut stopped: oneshot::Receiver<()>) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        tokio::select! {
            read = reader.read(&mut buffer) => match read? {
                0 => return sink.finish(),
                n => sink.write(&buffer[..n])?,
            },
            _ = &mut stopped => break,
        }
    }
    // What the runtime has not heard of yet lies in the pipe: it is asked for directly, without waiting.
    let mut taken = 0;
    while taken < MAX_PIPE_BYTES {
        match rustix::io::read(&reader, &mut buffer[..]) {
            Ok(0) | Err(Errno::AGAIN) => break,
            Ok(n) => {
                sink.write(&buffer[..n])?;
                taken += n;
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    sink.finish()
}

struct Sink {
    file: File,
    stream: MaskedStream,
    masked: Vec<u8>,
}

impl Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.masked.clear();
        self.stream.push(bytes, &mut self.masked);
        self.file.write_all(&self.masked)
    }

    fn finish(mut self) -> io::Result<()> {
        self.masked.clear();
        self.stream.finish(&mut self.masked);
        self.file.write_all(&self.masked)
    }
}
