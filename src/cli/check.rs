//! `octavia-authz check`: asks the authorization API about one action, and says
//! what to do about a denial.
//!
//! INVARIANT: exit code 0 only for a reply that is allowed with the one reason
//! that allows. Called by `cli::run`; `keys simulate` and `keys rights` put
//! their answers in the same words.

use std::collections::BTreeMap;

use super::{
    Outcome,
    client::{AuthorizationArgs, Connection, block_on},
    named::{Named, distinct},
    output::{self, Format, json, plain},
    secret::{self, KeyArgs, Secret},
};
use crate::pb::v1::{
    self, DecisionReason as Reason, authorization_service_client::AuthorizationServiceClient,
};

const EXAMPLES: &str = "\
The key is never an argument, where other users could see it.

Examples:
  OCTAVIA_API_KEY=octv_… octavia-authz check articles.publish
  octavia-authz check articles.read --state published --key-file website.key
  octavia-authz check articles.update --owner Yt5Bq0cVn2 --state draft --key-file - < writer.key

Exit codes: 0 allowed, 3 denied, 1 not decided, 2 bad usage.";

/// What to ask.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct CheckArgs {
    /// Ask about this action, for example `articles.publish`; `octavia-authz
    /// roles --matrix` shows all
    #[arg(value_name = "ACTION", required_unless_present = "action_flag")]
    pub action: Option<String>,

    /// The same as the argument ACTION
    #[arg(id = "action_flag", long = "action", value_name = "ACTION", conflicts_with = "action")]
    pub action_flag: Option<String>,

    /// What is asked besides.
    #[command(flatten)]
    pub about: AboutArgs,

    /// Where the key comes from.
    #[command(flatten)]
    pub key: KeyArgs,

    /// How to call the authorization API.
    #[command(flatten)]
    pub authorization: AuthorizationArgs,
}

/// What an action is asked about, by whatever names the key.
#[derive(Debug, clap::Args)]
pub struct AboutArgs {
    /// Ask as SERVICE [default: ai-cms]
    #[arg(long)]
    pub service: Option<String>,

    /// Say who owns the resource; conditions such as `own` compare it with the
    /// key's subject [default: not said, which meets no condition]
    #[arg(long)]
    pub owner: Option<String>,

    /// Say which state the resource is in, for example `draft` or `published`
    /// [default: not said, which meets no condition]
    #[arg(long)]
    pub state: Option<String>,

    /// Say which resource it is; no built-in condition needs it [default: not
    /// said]
    #[arg(long, value_name = "ID")]
    pub resource_id: Option<String>,

    /// Say a further attribute of the resource; repeatable, at most 64
    /// [default: none]
    #[arg(long = "attribute", value_name = "NAME=VALUE")]
    pub attributes: Vec<Named>,
}

impl AboutArgs {
    /// The service, and the wire's resource.
    ///
    /// # Errors
    /// An attribute is given twice.
    pub(crate) fn read(self) -> anyhow::Result<(String, v1::Resource)> {
        let resource = v1::Resource {
            id: self.resource_id.unwrap_or_default(),
            owner: self.owner.unwrap_or_default(),
            state: self.state.unwrap_or_default(),
            attributes: distinct("attribute", self.attributes)?,
        };
        Ok((self.service.unwrap_or_default(), resource))
    }
}

/// Asks, and prints the answer.
///
/// # Errors
/// There is no key, or nothing was decided.
pub fn run(args: CheckArgs) -> anyhow::Result<Outcome> {
    let key = args.key.read(&secret::environment)?;
    let authorization = args.authorization;
    let action = args.action.or(args.action_flag).unwrap_or_default();
    let (service, resource) = args.about.read()?;
    let response = block_on(ask(&authorization, key, action, service, resource))?;
    answer(&response, authorization.call.output)
}

/// Prints a decision.
///
/// # Errors
/// Standard output takes no more.
pub(crate) fn answer(response: &v1::AuthorizeResponse, format: Format) -> anyhow::Result<Outcome> {
    let allowed = response.allowed && response.reason() == Reason::Allowed;
    match format {
        Format::Table if allowed => output::print_text("allowed")?,
        Format::Table => output::print_text(&denial(response))?,
        Format::Json => {
            let mut decision = json::Decision::from(response);
            decision.allowed = allowed;
            output::print_json(&decision)?;
        }
    }
    Ok(if allowed { Outcome::Done } else { Outcome::Denied })
}

async fn ask(
    authorization: &AuthorizationArgs,
    key: Secret,
    action: String,
    service: String,
    resource: v1::Resource,
) -> anyhow::Result<v1::AuthorizeResponse> {
    let connection = Connection::to_authorization(authorization).await?;
    let mut client = AuthorizationServiceClient::new(connection.channel());
    let request = connection.request(v1::AuthorizeRequest {
        key: key.reveal().to_owned(),
        action,
        service,
        resource: Some(resource),
        correlation_id: String::new(),
    });
    connection.ask(client.authorize(request)).await
}

/// A denial in words: the reason, what to do, and the conditions not met.
pub(crate) fn denial(response: &v1::AuthorizeResponse) -> String {
    let reason = response.reason();
    let mut text = format!("denied: {} — {}", json::reason(reason), advice(reason));
    for (at, together) in alternatives(&response.conditions).iter().enumerate() {
        let lead = if at == 0 { "needs" } else { "or" };
        text.push_str(&format!("\n  {lead:<5} {together}"));
    }
    text
}

/// Conditions in words: each entry is a way to meet them.
pub(crate) fn alternatives(conditions: &[v1::Condition]) -> Vec<String> {
    // Each number is an alternative of conditions that hold together.
    let mut alternatives = BTreeMap::<u32, Vec<String>>::new();
    for condition in conditions {
        let (attribute, value) = (plain(&condition.attribute), plain(&condition.value));
        let together = alternatives.entry(condition.alternative).or_default();
        together.push(format!("{attribute} = `{value}`"));
    }
    alternatives.into_values().map(|together| together.join(" and ")).collect()
}

/// What to do about a denial.
pub(crate) fn advice(reason: Reason) -> &'static str {
    match reason {
        Reason::KeyMalformed => {
            "this is not the text of an API key; pass the whole text, from `octv_` to its last \
             character"
        }
        Reason::KeyUnknown => {
            "no such key is accepted: it may be revoked, rotated or another sidecar's; get a new \
             text with `octavia-authz keys create` or `keys rotate`"
        }
        Reason::KeyInactive => {
            "the key is switched off; switch it on with `octavia-authz keys enable`"
        }
        Reason::KeyExpired => {
            "the key has expired; extend it with `octavia-authz keys update --expires`"
        }
        Reason::ServiceMismatch => {
            "the key is for another service; pass that one with --service, or use a key of this \
             service"
        }
        Reason::ActionUnknown => {
            "the service has no such action; see `octavia-authz roles --matrix` for all there are"
        }
        Reason::ActionDenied => {
            "neither the key's role nor a grant gives this right; use a key of a role that has \
             it, as `octavia-authz roles --matrix` shows"
        }
        Reason::ConditionUnmet => {
            "the role gives this right for some resources only; say which one this is with \
             --state and --owner"
        }
        Reason::Stale => {
            "the sidecar cannot prove that its keys are up to date; see `octavia-authz status` \
             and try again"
        }
        Reason::Unavailable => "the sidecar could not decide; see its log, and try again",
        Reason::RequestInvalid => "the request is not valid; see `octavia-authz check --help`",
        Reason::Allowed | Reason::Unspecified => {
            "the answer is not one that this program knows, which counts as a denial; use a \
             program of the sidecar's version"
        }
    }
}
