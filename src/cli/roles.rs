//! `octavia-authz roles`: the policy's roles as the sidecar has them, in three
//! views: all roles, one role, all actions against all roles. Called by
//! `cli::run`.

use anyhow::bail;

use super::{
    client::{AdminArgs, Connection, LARGEST_REPLY, block_on},
    output::{self, Format, Grid, json, plain},
};
use crate::pb::v1::{self, role_service_client::RoleServiceClient};

const EXAMPLES: &str = "\
Examples:
  octavia-authz roles
  octavia-authz roles --role writer
  octavia-authz roles --matrix | grep '^media'";

/// What to show.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct RolesArgs {
    /// Show only the roles of SERVICE [default: all services]
    #[arg(long)]
    pub service: Option<String>,

    /// Show what ROLE may do, action by action [default: all roles, in short]
    #[arg(long)]
    pub role: Option<String>,

    /// Show every action against every role [default: the roles only]
    #[arg(long, conflicts_with = "role")]
    pub matrix: bool,

    /// How to call the admin API.
    #[command(flatten)]
    pub admin: AdminArgs,
}

/// Shows the roles.
///
/// # Errors
/// The call failed, or there is no such service or role.
pub fn run(args: RolesArgs) -> anyhow::Result<()> {
    let mut services = block_on(fetch(&args))?;
    if let Some(service) = args.service.as_ref().filter(|_| services.is_empty()) {
        bail!("there is no service `{service}`; leave --service out to see all");
    }
    if let Some(role) = &args.role {
        services = only(services, role)?;
    }
    if args.admin.call.output == Format::Json {
        return output::print_json(&json::Services::from(services.as_slice()));
    }
    let view = match (&args.role, args.matrix) {
        (Some(_), _) => detail,
        (None, true) => matrix,
        (None, false) => overview,
    };
    let views: Vec<String> = services.iter().map(view).collect();
    output::print_text(&views.join("\n\n"))
}

async fn fetch(args: &RolesArgs) -> anyhow::Result<Vec<v1::ServiceRoles>> {
    let connection = Connection::to_admin(&args.admin).await?;
    let mut roles =
        RoleServiceClient::new(connection.channel()).max_decoding_message_size(LARGEST_REPLY);
    let request = connection
        .request(v1::ListRolesRequest { service: args.service.clone().unwrap_or_default() });
    Ok(connection.ask(roles.list_roles(request)).await?.services)
}

/// The services that have the role, with that role alone.
fn only(services: Vec<v1::ServiceRoles>, role: &str) -> anyhow::Result<Vec<v1::ServiceRoles>> {
    let mut known = Vec::new();
    let mut found = Vec::new();
    for mut service in services {
        known.extend(service.roles.iter().map(|role| plain(&role.role)));
        service.roles.retain(|candidate| candidate.role == role);
        if !service.roles.is_empty() {
            found.push(service);
        }
    }
    if found.is_empty() {
        known.dedup();
        bail!("there is no role `{role}`; there are: {}", known.join(", "));
    }
    Ok(found)
}

fn heading(service: &v1::ServiceRoles) -> String {
    format!("{} ({})", plain(&service.title), plain(&service.service))
}

/// The roles of a service, one a line.
pub(crate) fn overview(service: &v1::ServiceRoles) -> String {
    let mut grid = Grid::new(&["ROLE", "TITLE", "INTENDED USE", "ALLOWED", "CONDITIONAL"]);
    for role in &service.roles {
        grid.row(&[
            &role.role,
            &role.title,
            &role.intended_use,
            &role.allowed_actions.len().to_string(),
            &role.conditional_actions.len().to_string(),
        ]);
    }
    format!(
        "{}, {}\n\n{}",
        heading(service),
        output::counted(service.actions.len() as u64, "action"),
        grid.render()
    )
}

/// What a role may do, one action a line, in the policy's order.
pub(crate) fn detail(service: &v1::ServiceRoles) -> String {
    let mut views = Vec::new();
    for role in &service.roles {
        let mut grid = Grid::new(&["ACTION", "RIGHT", "MEANING"]);
        let mut any = false;
        for action in &service.actions {
            let right = match Right::of(role, &action.action) {
                Right::Denied => continue,
                Right::Allowed => "allowed".to_owned(),
                Right::Conditional(conditions) => format!("if {}", conditions.join(" or ")),
                Right::Grantable => "if granted".to_owned(),
            };
            any = true;
            grid.row(&[&action.action, &right, &action.meaning]);
        }
        let rights = match any {
            true => grid.render(),
            false => "This role allows no action.".to_owned(),
        };
        let about = Grid::pairs([
            ("role", role.role.clone()),
            ("title", role.title.clone()),
            ("service", service.service.clone()),
            ("intended use", role.intended_use.clone()),
            ("summary", role.summary.clone()),
        ]);
        views.push(format!("{}\n\n{rights}", about.render()));
    }
    views.join("\n\n")
}

/// Every action of a service against every role.
pub(crate) fn matrix(service: &v1::ServiceRoles) -> String {
    let roles = service.roles.iter().map(|role| role.role.as_str());
    let heads: Vec<&str> = std::iter::once("ACTION").chain(roles).collect();
    let mut grid = Grid::new(&heads);
    for action in &service.actions {
        let mut cells = vec![action.action.clone()];
        cells.extend(service.roles.iter().map(|role| match Right::of(role, &action.action) {
            Right::Denied => "-".to_owned(),
            Right::Allowed => "allow".to_owned(),
            Right::Conditional(conditions) => conditions.join("|"),
            Right::Grantable => "grant".to_owned(),
        }));
        grid.row(&cells);
    }
    format!("{}\n\n{}", heading(service), grid.render())
}

/// A role's right to an action.
enum Right<'a> {
    Denied,
    Allowed,
    Conditional(&'a [String]),
    Grantable,
}

impl<'a> Right<'a> {
    fn of(role: &'a v1::Role, action: &str) -> Right<'a> {
        let conditional = || role.conditional_actions.iter().find(|c| c.action == action);
        if role.allowed_actions.iter().any(|a| a == action) {
            Right::Allowed
        } else if let Some(conditional) = conditional() {
            Right::Conditional(&conditional.conditions)
        } else if role.grantable_actions.iter().any(|a| a == action) {
            Right::Grantable
        } else {
            Right::Denied
        }
    }
}
