//! Whose turn it is: few answers are made at once, few wait, and whoever is beyond those is told so at once. What a policy of
//! 100,000 features costs to look at must not be taken from queries.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::refused::Refused;

/// Answers that are made at once; they may take a processor for as long as a reload does.
const AT_ONCE: usize = 2;
/// Answers that are made or wait for it.
const PLACES: usize = 16;

#[derive(Debug)]
pub(super) struct Turns {
    running: Arc<Semaphore>,
    places: Arc<Semaphore>,
}

impl Default for Turns {
    fn default() -> Self {
        Self { running: Arc::new(Semaphore::new(AT_ONCE)), places: Arc::new(Semaphore::new(PLACES)) }
    }
}

impl Turns {
    /// Does it on a thread where it is in nobody's way, when it is its turn.
    pub(super) async fn take<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Refused> + Send + 'static,
    ) -> Result<T, Refused> {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else { return Err(Refused::Busy) };
        let Ok(turn) = Arc::clone(&self.running).acquire_owned().await else { return Err(Refused::Busy) };
        let done = tokio::task::spawn_blocking(move || {
            // Whoever asked may have gone; the place is taken until the work is done.
            let _held = (place, turn);
            work()
        });
        done.await.map_err(|_| Refused::Failed)?
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[tokio::test]
    async fn beyond_those_that_wait_a_question_is_503() {
        let turns = Arc::new(Turns::default());
        let (begun, seen) = channel();
        let (release, held) = channel::<()>();
        let held = Arc::new(std::sync::Mutex::new(held));
        let ask = || {
            let (turns, begun, held) = (Arc::clone(&turns), begun.clone(), Arc::clone(&held));
            tokio::spawn(async move {
                let work = move || {
                    begun.send(()).unwrap();
                    held.lock().unwrap().recv().unwrap();
                    Ok(())
                };
                turns.take(work).await
            })
        };
        let mut asked: Vec<_> = (0..PLACES).map(|_| ask()).collect();
        while turns.places.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let beyond = turns.take(|| Ok(())).await;
        assert!(matches!(beyond, Err(Refused::Busy)), "{beyond:?}");
        // One that hangs up while it is answered gives its place back when that is done.
        asked.pop().unwrap().abort();
        for _ in 0..PLACES {
            release.send(()).unwrap();
        }
        for asked in asked {
            asked.await.unwrap().unwrap();
        }
        assert!(seen.try_iter().count() >= PLACES - 1);
        assert!(turns.take(|| Ok(())).await.is_ok());
    }
}
