//! Foreign programs: started, watched by what they print, and ended by their own id whatever the test does.

use std::io::{Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often a program is asked whether it has ended, while we wait for what it prints.
const GLANCE: Duration = Duration::from_millis(50);

/// A foreign program and what it prints; ended on drop.
#[derive(Debug)]
pub(crate) struct Watched {
    child: Child,
    printed: Printer,
    readers: Vec<JoinHandle<()>>,
}

impl Watched {
    /// Starts it.
    ///
    /// # Panics
    /// When it is not installed: a failure, not a skip.
    pub(crate) fn spawn(command: &mut Command) -> Self {
        let program = command.get_program().to_string_lossy().into_owned();
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("{program}: {e}; scripts/install-test-peers installs it"));
        let printed = Printer::default();
        let mut readers = Vec::new();
        let output = child.stdout.take();
        readers.extend(output.map(|pipe| printed.collect(pipe, |printed| &mut printed.output)));
        let errors = child.stderr.take();
        readers.extend(errors.map(|pipe| printed.collect(pipe, |printed| &mut printed.errors)));
        Self {
            child,
            printed,
            readers,
        }
    }

    /// Writes to its standard input.
    pub(crate) fn write(&mut self, octets: &[u8]) {
        if let Some(stdin) = &mut self.child.stdin {
            let _ = stdin.write_all(octets).and_then(|()| stdin.flush());
        }
    }

    /// All it printed so far: its output, then its errors.
    pub(crate) fn text(&self) -> String {
        self.printed.lock().text()
    }

    /// Its output so far. Errors are kept apart, or they would stand in the middle of a line.
    pub(crate) fn output(&self) -> Vec<u8> {
        self.printed.lock().output.clone()
    }

    /// Waits until what it printed fulfils `done`, or it has ended; false at the deadline.
    pub(crate) fn wait_until(&mut self, patience: Duration, done: impl Fn(&str) -> bool) -> bool {
        self.wait(patience, |printed| done(&printed.text()).then_some(()))
            .is_some()
    }

    /// Waits until something is found in its output, or it has ended.
    pub(crate) fn wait_for<T>(
        &mut self,
        patience: Duration,
        find: impl Fn(&[u8]) -> Option<T>,
    ) -> Option<T> {
        self.wait(patience, |printed| find(&printed.output))
    }

    fn wait<T>(&mut self, patience: Duration, find: impl Fn(&Printed) -> Option<T>) -> Option<T> {
        let deadline = Instant::now() + patience;
        let mut seen = None;
        loop {
            let ended = matches!(self.child.try_wait(), Ok(Some(_)));
            if ended {
                self.join();
            }
            {
                let printed = self.printed.lock();
                if seen != Some(printed.len())
                    && let Some(found) = find(&printed)
                {
                    return Some(found);
                }
                seen = Some(printed.len());
            }
            if ended || Instant::now() > deadline {
                return None;
            }
            self.printed.wait_for_more(seen.unwrap_or(0));
        }
    }

    /// Waits for its end; `None` when it runs on.
    pub(crate) fn ended(&mut self, patience: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + patience;
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => {
                    self.join();
                    return Some(status);
                }
                _ if Instant::now() > deadline => return None,
                _ => std::thread::sleep(Duration::from_millis(10)),
            }
        }
    }

    /// Whether it still runs.
    pub(crate) fn lives(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Closes its standard input.
    pub(crate) fn close_input(&mut self) {
        drop(self.child.stdin.take());
    }

    /// Ends it; all it printed.
    pub(crate) fn end(&mut self) -> String {
        self.close_input();
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.join();
        self.text()
    }

    fn join(&mut self) {
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.end();
    }
}

#[derive(Debug, Default)]
struct Printed {
    output: Vec<u8>,
    errors: Vec<u8>,
}

impl Printed {
    fn len(&self) -> usize {
        self.output.len() + self.errors.len()
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&[self.output.as_slice(), &self.errors].concat()).into_owned()
    }
}

/// What a program printed, as it comes.
#[derive(Debug, Clone, Default)]
struct Printer(Arc<(Mutex<Printed>, Condvar)>);

impl Printer {
    fn lock(&self) -> MutexGuard<'_, Printed> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_for_more(&self, than: usize) {
        let guard = self.lock();
        let _ = self
            .0
            .1
            .wait_timeout_while(guard, GLANCE, |printed| printed.len() == than);
    }

    fn collect(
        &self,
        mut pipe: impl Read + Send + 'static,
        into: fn(&mut Printed) -> &mut Vec<u8>,
    ) -> JoinHandle<()> {
        let printer = self.clone();
        std::thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(n @ 1..) = pipe.read(&mut chunk) {
                into(&mut printer.lock()).extend_from_slice(&chunk[..n]);
                printer.0.1.notify_all();
            }
        })
    }
}
