//! Order, errors in their place, bounded memory, and stopping.

use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;

use super::*;

type Outcome = Result<usize, Error>;

fn refuse(job: usize) -> Error {
    Error::Request { what: format!("job {job}"), hint: "" }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn results_come_in_order_for_any_number_of_workers(
        jobs in 0usize..60, workers in 0usize..6, ahead in 0usize..10, slow in 1usize..5
    ) {
        let work = move |job: usize| -> Outcome {
            if job.is_multiple_of(slow) {
                std::thread::yield_now();
            }
            if job % 7 == 3 { Err(refuse(job)) } else { Ok(job * job) }
        };
        let results = ordered((0..jobs).collect(), workers, ahead, work);
        prop_assert_eq!(results.len(), jobs);
        for (job, result) in results.enumerate() {
            match result {
                Ok(square) => prop_assert_eq!(square, job * job),
                Err(error) => {
                    prop_assert_eq!(job % 7, 3);
                    prop_assert_eq!(error.to_string(), format!("job {job}"));
                }
            }
        }
    }
}

#[test]
fn a_panic_takes_the_place_of_its_own_result() {
    for workers in [0, 1, 3] {
        let work = |job: usize| -> Outcome { if job == 2 { panic!("broken job {job}") } else { Ok(job) } };
        let results: Vec<Outcome> = ordered((0..5).collect(), workers, 2, work).collect();
        assert_eq!(results.len(), 5);
        for (job, result) in results.iter().enumerate() {
            match result {
                Ok(value) => assert_eq!(*value, job),
                Err(error) => {
                    assert_eq!(
                        (job, error.to_string().as_str()),
                        (2, "a loader worker panicked: broken job 2")
                    );
                }
            }
        }
        assert!(results[2].is_err());
    }
}

#[test]
fn at_most_ahead_results_wait() {
    static STARTED: AtomicUsize = AtomicUsize::new(0);
    let work = |job: usize| -> Outcome {
        STARTED.fetch_add(1, Ordering::SeqCst);
        Ok(job)
    };
    let mut results = ordered((0..100).collect(), 3, 4, work);
    for given in 1..=20 {
        assert!(results.next().unwrap().is_ok());
        std::thread::sleep(Duration::from_millis(2));
        let started = STARTED.load(Ordering::SeqCst);
        assert!(started <= given + 4, "{started} jobs started when {given} results were given");
    }
    drop(results); // joins the workers: nothing starts afterwards
    let stopped = STARTED.load(Ordering::SeqCst);
    std::thread::sleep(Duration::from_millis(10));
    assert_eq!(STARTED.load(Ordering::SeqCst), stopped);
    assert!(stopped <= 24, "{stopped}");
}

#[test]
fn waiting_is_counted() {
    let slow = |job: usize| -> Outcome {
        std::thread::sleep(Duration::from_millis(5));
        Ok(job)
    };
    for workers in [0, 1] {
        let mut results = ordered(vec![0, 1], workers, 1, slow);
        assert_eq!(results.waited(), Duration::ZERO);
        assert!(results.by_ref().all(|r| r.is_ok()));
        assert!(results.waited() >= Duration::from_millis(5), "{:?}", results.waited());
    }
}

#[test]
fn another_error_type_can_be_used() {
    #[derive(Debug)]
    struct Mine(String);
    impl From<Error> for Mine {
        fn from(error: Error) -> Self {
            Mine(error.to_string())
        }
    }
    let work = |job: usize| if job == 0 { Err(Mine("mine".into())) } else { panic!("theirs") };
    let results: Vec<Result<(), Mine>> = ordered(vec![0, 1], 2, 2, work).collect();
    assert_eq!(results[0].as_ref().unwrap_err().0, "mine");
    assert!(results[1].as_ref().unwrap_err().0.contains("theirs"));
}
