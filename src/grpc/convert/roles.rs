//! What the policy says of roles, outwards.

use tonic::Status;

use super::status;
use crate::{
    change::Refusal,
    pb::v1::{ActionInfo, ListRolesResponse, Role, RoleCondition, ServiceRoles},
    policy::{Policy, Service},
};

/// The roles of `service`, or of all when it is empty.
pub(in crate::grpc) fn roles(policy: &Policy, service: &str) -> Result<ListRolesResponse, Status> {
    let services: Vec<_> =
        policy.services().filter(|known| service.is_empty() || known.name() == service).collect();
    if services.is_empty() {
        let shown: String = service.chars().filter(|c| !c.is_control()).take(64).collect();
        return Err(status(
            Refusal::field("service", format!("there is no service `{shown}`")).into(),
        ));
    }
    Ok(ListRolesResponse {
        services: services.into_iter().map(|service| service_roles(service)).collect(),
    })
}

fn service_roles(service: &Service) -> ServiceRoles {
    let names = |set| service.names(set).map(str::to_owned).collect();
    let actions = service.actions().iter().map(|action| ActionInfo {
        action: action.name().to_owned(),
        meaning: action.meaning().to_owned(),
    });
    let roles = service.roles().iter().map(|role| Role {
        role: role.name().to_owned(),
        title: role.title().to_owned(),
        intended_use: role.intended_use().to_owned(),
        summary: role.summary().to_owned(),
        allowed_actions: names(role.rights().always()),
        conditional_actions: role
            .rights()
            .conditional()
            .map(|(action, conditions)| RoleCondition {
                action: service.action_name(action).to_owned(),
                conditions: conditions
                    .iter()
                    .map(|condition| condition.name().to_owned())
                    .collect(),
            })
            .collect(),
        grantable_actions: names(role.grantable()),
    });
    ServiceRoles {
        service: service.name().to_owned(),
        title: service.title().to_owned(),
        actions: actions.collect(),
        roles: roles.collect(),
    }
}
