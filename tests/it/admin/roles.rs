//! What the API says of roles: the golden table, no more and no less.

use octavia_authz::pb::v1::{
    CreateApiKeyRequest, DecisionReason as Reason, IntrospectRequest, ListRolesRequest, Role,
    ServiceRoles,
};

use super::{create, invalid_fields, new_key};
use crate::{
    golden::{self, Right},
    sidecar::{Sidecar, without_usage},
};

async fn list(sidecar: &Sidecar, service: &str) -> Vec<ServiceRoles> {
    let mut roles = sidecar.roles_as(&sidecar.operator_token()).await;
    let request = ListRolesRequest { service: service.into() };
    roles.list_roles(request).await.unwrap().into_inner().services
}

fn right(role: &Role, action: &str) -> Right {
    let allowed = role.allowed_actions.iter().filter(|one| *one == action).count();
    let mut conditional = role.conditional_actions.iter().filter(|one| one.action == action);
    match (allowed, conditional.next()) {
        (1, None) => Right::Always,
        (0, None) => Right::Never,
        (0, Some(one)) if conditional.next().is_none() => {
            let known = ["published", "own", "own_draft"];
            let name = |name: &String| *known.iter().find(|known| *known == name).unwrap();
            Right::When(one.conditions.iter().map(name).collect())
        }
        other => panic!("{action} stands in {} in two ways: {other:?}", role.role),
    }
}

#[tokio::test]
async fn the_list_of_roles_is_the_golden_table() {
    let sidecar = Sidecar::start();
    let services = list(&sidecar, "").await;
    assert_eq!(services, list(&sidecar, "ai-cms").await);
    let [service] = &services[..] else { panic!("{} services", services.len()) };
    assert_eq!((service.service.as_str(), service.title.as_str()), ("ai-cms", "AI CMS"));
    let names: Vec<_> = service.roles.iter().map(|role| role.role.as_str()).collect();
    assert_eq!(names, golden::ROLES);
    let rows: Vec<_> = service.actions.iter().map(|one| (&*one.action, &*one.meaning)).collect();
    let golden_rows: Vec<_> = golden::actions().iter().map(|one| (one.name, one.meaning)).collect();
    assert_eq!(rows, golden_rows);

    let mut cells = 0;
    for role in &service.roles {
        for action in golden::actions() {
            let expected = golden::right(&role.role, action.name);
            assert_eq!(right(role, action.name), expected, "{} {}", role.role, action.name);
            cells += 1;
        }
        let said = [&role.title, &role.intended_use, &role.summary];
        assert!(said.iter().all(|text| !text.is_empty()), "{}", role.role);
        let listed = role.allowed_actions.len() + role.conditional_actions.len();
        let has_right = |one: &&golden::Action| golden::right(&role.role, one.name) != Right::Never;
        assert_eq!(listed, golden::actions().iter().filter(has_right).count());
        let grantable = golden::actions().iter().map(|one| one.name).filter(|name| {
            let granted = name.starts_with("billing.") || name.starts_with("api_keys.");
            role.role == "admin" && granted
        });
        assert_eq!(role.grantable_actions, grantable.collect::<Vec<_>>(), "{}", role.role);
    }
    assert_eq!(cells, 83 * 7);

    let mut roles = sidecar.roles_as(&sidecar.operator_token()).await;
    let unknown = ListRolesRequest { service: "shop".into() };
    assert_eq!(invalid_fields(&roles.list_roles(unknown).await.unwrap_err()), ["service"]);
    sidecar.finish().await;
}

#[tokio::test]
async fn introspection_lists_what_the_golden_table_allows() {
    let sidecar = Sidecar::start();
    let mut client = sidecar.authorization().await;
    for role in golden::ROLES {
        let (key, text) = create(&sidecar, new_key(role, "web")).await;
        let request = IntrospectRequest { key: text, service: String::new() };
        let said = client.introspect(request).await.unwrap().into_inner();
        let key = without_usage(key);
        assert_eq!((said.reason(), said.key.as_ref()), (Reason::Allowed, Some(&key)));
        let mut actions: Vec<_> = golden::actions().iter().map(|one| one.name).collect();
        actions.sort_unstable();
        let right = |name: &str| golden::right(role, name);
        let mut always = actions.clone();
        always.retain(|name| right(name) == Right::Always);
        assert_eq!(said.allowed_actions, always, "{role}");
        let needs: Vec<_> = actions
            .into_iter()
            .map(|name| (name, right(name).needs(&key.subject)))
            .filter(|(_, needs)| !needs.is_empty())
            .collect();
        let listed: Vec<_> = said
            .conditional_actions
            .iter()
            .map(|one| {
                let conditions = one.conditions.iter();
                let conditions = conditions.map(|c| (&*c.attribute, &*c.value, c.alternative));
                (one.action.as_str(), conditions.collect::<Vec<_>>())
            })
            .collect();
        assert_eq!(listed, needs, "{role}");
    }

    let granted =
        CreateApiKeyRequest { grants: vec!["billing.read".into()], ..new_key("admin", "") };
    let (_, text) = create(&sidecar, granted).await;
    let request = IntrospectRequest { key: text, service: String::new() };
    let said = client.introspect(request).await.unwrap().into_inner();
    assert!(said.allowed_actions.contains(&"billing.read".to_owned()));
    assert!(!said.allowed_actions.contains(&"billing.update".to_owned()));
    sidecar.finish().await;
}
