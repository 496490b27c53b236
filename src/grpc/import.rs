//! `ImportApiKeys`: keys come in messages, and every message is answered in its
//! order when its keys are taken over.
//!
//! INVARIANT: a bounded number of messages is on the way, so that who sends
//! faster than we store has to wait. Called by `grpc::admin`.

use std::pin::Pin;

use tokio::{sync::mpsc, task::JoinHandle};
use tokio_stream::{Stream, StreamExt as _, wrappers::ReceiverStream};
use tonic::{Status, Streaming};

use super::convert;
use crate::{
    keyring::{Caller, Imported, Keyring},
    pb::v1::{ImportApiKeysRequest, ImportApiKeysResponse, ImportFailure},
    token::redacted,
};

/// Messages on the way: while one waits for the disk, others are prepared.
const IN_FLIGHT: usize = 4;

/// The answers, one for each message.
pub(super) type Answers = Pin<Box<dyn Stream<Item = Result<ImportApiKeysResponse, Status>> + Send>>;

type Answer = Result<ImportApiKeysResponse, Status>;

/// Takes over what `messages` bring.
pub(super) fn answers(
    keyring: Keyring,
    caller: Caller,
    mut messages: Streaming<ImportApiKeysRequest>,
) -> Answers {
    let (started, waiting) = mpsc::channel::<JoinHandle<Answer>>(IN_FLIGHT);
    tokio::spawn(async move {
        loop {
            let work = match messages.next().await {
                None => return,
                Some(Ok(message)) => {
                    tokio::spawn(take_over(keyring.clone(), caller.clone(), message))
                }
                Some(Err(status)) => {
                    let status = convert::oversize(status);
                    let _ = started.send(tokio::spawn(async { Err(status) })).await;
                    return;
                }
            };
            // Nobody waits for answers any more: no more keys are taken over.
            if started.send(work).await.is_err() {
                return;
            }
        }
    });
    let answers = ReceiverStream::new(waiting).then(|work: JoinHandle<Answer>| async move {
        work.await.unwrap_or_else(|_| Err(Status::internal("importing keys failed")))
    });
    Box::pin(answers)
}

async fn take_over(keyring: Keyring, caller: Caller, message: ImportApiKeysRequest) -> Answer {
    convert::check_import(&message)?;
    let mut response = ImportApiKeysResponse::default();
    // A field that cannot be read fails its key, not the others.
    let (mut names, mut keys) = (Vec::new(), Vec::new());
    for (index, key) in (0..).zip(message.keys) {
        let name = key.name.clone();
        match convert::imported_key(key) {
            Ok(key) => {
                keys.push(key);
                names.push((index, name));
            }
            Err(status) => response.failures.push(failure(index, name, &status)),
        }
    }
    let outcomes = keyring.import(caller, keys, message.dry_run).await.map_err(convert::status)?;
    for ((index, name), outcome) in names.into_iter().zip(outcomes) {
        match outcome {
            Imported::Done(_) => response.imported_count += 1,
            Imported::Existing(_) => response.existing_count += 1,
            Imported::Refused(refusal) => {
                let status = convert::status(refusal.into());
                response.failures.push(failure(index, name, &status));
            }
        }
    }
    response.failures.sort_unstable_by_key(|failure| failure.index);
    response.failed_count = response.failures.len() as u64;
    Ok(response)
}

fn failure(index: u64, name: String, status: &Status) -> ImportFailure {
    let name = redacted(&name).unwrap_or(name);
    ImportFailure { index, name, code: status.code().into(), message: status.message().to_owned() }
}
