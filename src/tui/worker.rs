//! A thread that works for the newest request only, so that the draw loop never waits.

use std::{
    io,
    sync::mpsc::{Receiver, Sender, TryRecvError, channel},
    thread,
};

/// The thread has ended, which it does only by a defect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopped;

/// Requests go in, the reply to the newest one comes out.
pub struct Worker<Request, Reply> {
    requests: Sender<(u64, Request)>,
    replies: Receiver<(u64, Reply)>,
    newest: u64,
    busy: bool,
}

impl<Request: Send + 'static, Reply: Send + 'static> Worker<Request, Reply> {
    /// Starts the thread; it ends when the worker is dropped.
    pub fn spawn(
        name: &str,
        mut work: impl FnMut(Request) -> Reply + Send + 'static,
    ) -> io::Result<Self> {
        let (requests, inbox) = channel::<(u64, Request)>();
        let (outbox, replies) = channel();
        thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                while let Ok(mut request) = inbox.recv() {
                    while let Ok(newer) = inbox.try_recv() {
                        request = newer;
                    }
                    if outbox.send((request.0, work(request.1))).is_err() {
                        return;
                    }
                }
            })?;
        Ok(Self {
            requests,
            replies,
            newest: 0,
            busy: false,
        })
    }

    /// Asks; whatever was asked before is no longer waited for.
    pub fn ask(&mut self, request: Request) {
        self.newest += 1;
        // A failed send shows in the next poll.
        self.busy = true;
        let _ = self.requests.send((self.newest, request));
    }

    /// Whether a reply is waited for.
    pub fn busy(&self) -> bool {
        self.busy
    }

    /// Forgets what was asked.
    pub fn cancel(&mut self) {
        self.newest += 1;
        self.busy = false;
    }

    /// The reply to the newest request, once.
    pub fn poll(&mut self) -> Result<Option<Reply>, Stopped> {
        loop {
            match self.replies.try_recv() {
                Ok((ticket, reply)) if ticket == self.newest => {
                    self.busy = false;
                    return Ok(Some(reply));
                }
                Ok(_) => {}
                Err(TryRecvError::Empty) => return Ok(None),
                Err(TryRecvError::Disconnected) if self.busy => {
                    self.busy = false;
                    return Err(Stopped);
                }
                Err(TryRecvError::Disconnected) => return Ok(None),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, time::Duration};

    use super::*;

    fn wait(worker: &mut Worker<u32, u32>) -> Result<Option<u32>, Stopped> {
        for _ in 0..2_000 {
            match worker.poll() {
                Ok(None) => thread::sleep(Duration::from_millis(1)),
                other => return other,
            }
        }
        Ok(None)
    }

    #[test]
    fn a_newer_request_supersedes_an_older_one() {
        let (go, gate) = mpsc::channel::<()>();
        let mut worker = Worker::spawn("test", move |request: u32| {
            let _ = gate.recv();
            request * 10
        })
        .unwrap();
        for request in 1..=3 {
            worker.ask(request);
        }
        for _ in 0..3 {
            let _ = go.send(());
        }
        assert_eq!(wait(&mut worker), Ok(Some(30)));
        assert!(!worker.busy());
    }

    #[test]
    fn a_thread_that_died_is_told_once() {
        let mut worker = Worker::spawn("test", |request: u32| 1 / (request - request)).unwrap();
        worker.ask(1);
        assert_eq!(wait(&mut worker), Err(Stopped));
        assert_eq!(worker.poll(), Ok(None));
    }
}
