//! "Roles & permissions (AI CMS)": the introduction, then the table, row by row.

use octavia_authz::pb::v1::{
    ApiKey, CreateApiKeyRequest, DecisionReason as Reason, GetApiKeyRequest, ListApiKeysRequest,
    ListRolesRequest, Resource, RevokeApiKeyRequest, Role, RotateApiKeyRequest,
};
use tonic::Code;

use super::{Guide, all_kinds, new_key, resource, update};
use crate::golden::{self, Right};

/// Every action of the catalogue.
fn all_actions() -> Vec<&'static str> {
    golden::actions().iter().map(|action| action.name).collect()
}

/// Every action on these resources.
fn all_of(resources: &[&str]) -> Vec<&'static str> {
    let mut actions = all_actions();
    actions.retain(|action| resources.contains(&action.split_once('.').unwrap().0));
    actions
}

/// Every action that changes something: all but reading.
fn all_writes() -> Vec<&'static str> {
    let mut actions = all_actions();
    actions.retain(|action| !action.ends_with(".read"));
    actions
}

/// The row of a role, as the dashboard shows it.
async fn row(guide: &Guide, role: &str) -> Role {
    let mut roles = guide.sidecar.roles_as(&guide.sidecar.operator_token()).await;
    let listed = roles.list_roles(ListRolesRequest::default()).await.unwrap().into_inner();
    let roles = listed.services.into_iter().flat_map(|service| service.roles);
    roles.into_iter().find(|known| known.role == role).unwrap()
}

/// The row is the guide's, word for word, and a key of that role can be had.
async fn is_row(role: &str, title: &str, intended_use: &str, summary: &str) {
    let mut guide = Guide::start().await;
    let row = row(&guide, role).await;
    assert_eq!((row.title.as_str(), row.intended_use.as_str()), (title, intended_use));
    assert_eq!(row.summary, summary);
    let (_, text) = guide.key_of(role).await;
    assert_eq!(guide.reason(&text, "media.read").await, Reason::Allowed);
    guide.sidecar.finish().await;
}

/// "Choose the smallest role that meets your use case."
#[tokio::test]
async fn choose_the_smallest_role_that_meets_your_use_case() {
    let mut guide = Guide::start().await;
    let actions = all_actions();
    let mut may = Vec::new();
    for role in golden::ROLES {
        // A role is what the list of roles says of it, no more and no less ...
        let (key, text) = guide.key_of(role).await;
        let said = row(&guide, role).await;
        assert!(!said.intended_use.is_empty() && !said.summary.is_empty(), "{role}");
        let mut resources = all_kinds();
        resources.extend(["", "draft", "published"].map(|state| resource(&key.subject, state)));
        let mut allowed = Vec::new();
        for on in &resources {
            let reasons = guide.reasons(&text, &actions, on).await;
            for (action, reason) in actions.iter().zip(reasons) {
                let right = golden::right(role, action);
                assert_eq!(reason, right.reason(on, &key.subject), "{role} {action} {on:?}");
                let is_listed = said.allowed_actions.iter().any(|one| one == action);
                assert_eq!(is_listed, right == Right::Always, "{role} {action}");
                allowed.push(reason == Reason::Allowed);
            }
        }
        may.push((role, allowed));
    }
    // ... so that there is one to choose: no two are the same, and all but Super Admin are
    // smaller than the whole.
    for (index, (role, allowed)) in may.iter().enumerate() {
        assert_eq!(allowed.iter().all(|allowed| *allowed), *role == "super_admin", "{role}");
        for (other, same) in &may[..index] {
            assert_ne!(allowed, same, "{role} and {other}");
        }
    }
    guide.sidecar.finish().await;
}

/// "If your backend services require unrestricted access, use Super Admin."
#[tokio::test]
async fn if_your_backend_services_require_unrestricted_access_use_super_admin() {
    let mut guide = Guide::start().await;
    let (key, text) = guide.key_of("super_admin").await;
    guide.may(&text, &all_actions()).await;
    for state in ["", "draft", "published"] {
        let own = resource(&key.subject, state);
        guide.answers(&text, &all_actions(), &own, Reason::Allowed).await;
    }
    guide.sidecar.finish().await;
}

/// "For public websites and read-only pages, use Read-only."
#[tokio::test]
async fn for_public_websites_and_read_only_pages_use_read_only() {
    let mut guide = Guide::start().await;
    let (_, text) = guide.key_of("read_only").await;
    // What a page is made of ...
    let page = ["articles.read", "translations.read", "media.read", "categories.read"];
    let more = ["tags.read", "authors.read", "locales.read"];
    let published = resource("somebody", "published");
    guide.answers(&text, &page, &published, Reason::Allowed).await;
    guide.answers(&text, &more, &published, Reason::Allowed).await;
    // ... and nothing that the public must not see or do.
    let hidden = ["articles.read", "translations.read"];
    for state in ["", "draft", "in_review", "archived"] {
        let on = resource("somebody", state);
        guide.answers(&text, &hidden, &on, Reason::ConditionUnmet).await;
    }
    let mut rest = all_actions();
    rest.retain(|action| !page.contains(action) && !more.contains(action));
    guide.may_not(&text, &rest).await;
    guide.sidecar.finish().await;
}

/// Super Admin: "Platform owners / unrestricted backend systems"
#[tokio::test]
async fn super_admin_platform_owners_unrestricted_backend_systems() {
    is_row(
        "super_admin",
        "Super Admin",
        "Platform owners / unrestricted backend systems",
        "Unlimited access. Full control over all CMS resources, users, settings, billing, API \
         keys, and administrative actions. Recommended only for trusted backend integrations that \
         require complete access.",
    )
    .await;
}

/// Super Admin: "Unlimited access."
#[tokio::test]
async fn super_admin_unlimited_access() {
    let mut guide = Guide::start().await;
    let (_, text) = guide.key_of("super_admin").await;
    guide.may(&text, &all_actions()).await;
    // Unlimited is not lawless: what is no action of the service is nobody's.
    assert_eq!(guide.reason(&text, "articles.destroy").await, Reason::ActionUnknown);
    guide.sidecar.finish().await;
}

/// Super Admin: "Full control over all CMS resources, users, settings, billing, API keys, and
/// administrative actions."
#[tokio::test]
async fn super_admin_full_control_over_all_cms_resources_users_settings_billing_api_keys_and_administrative_actions()
 {
    let mut guide = Guide::start().await;
    let (_, text) = guide.key_of("super_admin").await;
    let named = ["users", "settings", "billing", "api_keys", "audit", "team"];
    guide.may(&text, &all_of(&named)).await;
    let mut resources = all_actions();
    resources.retain(|action| !all_of(&named).contains(action));
    guide.may(&text, &resources).await;
    // Of API keys not in words only: create, read, list, change, rotate, revoke.
    let mut keys = guide.sidecar.keys_as(&text).await;
    for role in golden::ROLES {
        let id = keys.create_api_key(new_key(role)).await.unwrap().into_inner().api_key.unwrap().id;
        keys.get_api_key(GetApiKeyRequest { id: id.clone() }).await.unwrap();
        let listed = keys.list_api_keys(ListApiKeysRequest::default()).await.unwrap().into_inner();
        assert!(listed.api_keys.iter().any(|key| key.id == id));
        let named = ApiKey { name: "renamed".into(), ..Default::default() };
        keys.update_api_key(update(&id, &["name"], named)).await.unwrap();
        let rotate = RotateApiKeyRequest { id: id.clone(), ..Default::default() };
        keys.rotate_api_key(rotate).await.unwrap();
        keys.revoke_api_key(RevokeApiKeyRequest { id, ..Default::default() }).await.unwrap();
    }
    guide.sidecar.finish().await;
}

/// Super Admin: "Recommended only for trusted backend integrations that require complete access."
#[tokio::test]
async fn super_admin_recommended_only_for_trusted_backend_integrations_that_require_complete_access()
 {
    let mut guide = Guide::start().await;
    // Nothing less gives complete access, and nobody has it by accident: a role must be named.
    for role in golden::ROLES {
        let (_, text) = guide.key_of(role).await;
        let reasons = guide.reasons(&text, &all_actions(), &Resource::default()).await;
        let complete = reasons.iter().all(|reason| *reason == Reason::Allowed);
        assert_eq!(complete, role == "super_admin", "{role}");
    }
    let unnamed = CreateApiKeyRequest { name: "a name".into(), ..new_key("") };
    let status = guide.keys.create_api_key(unnamed).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    guide.sidecar.finish().await;
}

/// Admin: "Team or project administrators"
#[tokio::test]
async fn admin_team_or_project_administrators() {
    is_row(
        "admin",
        "Admin",
        "Team or project administrators",
        "Manage articles, media, categories, tags, and translations. Can publish/unpublish \
         content and manage team members, but cannot modify billing or API keys unless explicitly \
         granted.",
    )
    .await;
}

/// Admin: "Manage articles, media, categories, tags, and translations."
#[tokio::test]
async fn admin_manage_articles_media_categories_tags_and_translations() {
    let mut guide = Guide::start().await;
    let (_, text) = guide.key_of("admin").await;
    let managed = all_of(&["articles", "media", "categories", "tags", "translations"]);
    assert_eq!(managed.len(), 13 + 4 + 4 + 4 + 4);
    guide.may(&text, &managed).await;
    guide.sidecar.finish().await;
}

/// Admin: "Can publish/unpublish content and manage team members, but cannot modify billing or API
/// keys unless explicitly granted."
#[tokio::test]
async fn admin_can_publish_unpublish_and_manage_team_members_but_cannot_modify_billing_or_api_keys_unless_explicitly_granted()
 {
    let mut guide = Guide::start().await;
    let (_, text) = guide.key_of("admin").await;
    guide.may(&text, &["articles.publish", "articles.unpublish"]).await;
    guide.may(&text, &["team.read", "team.invite", "team.update", "team.remove"]).await;
    let grantable = all_of(&["billing", "api_keys"]);
    assert_eq!(grantable.len(), 2 + 5);
    guide.may_not(&text, &grantable).await;
    let mut keys = guide.sidecar.keys_as(&text).await;
    let status = keys.create_api_key(new_key("read_only")).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);

    // Each grant gives its action and no other; all of them give all.
    let grants_of = |grants: &[&str]| grants.iter().map(|grant| (*grant).to_owned()).collect();
    let all = grantable.as_slice();
    for grants in grantable.chunks(1).chain([all]) {
        let new = CreateApiKeyRequest { grants: grants_of(grants), ..new_key("admin") };
        let (key, text) = guide.create(new).await;
        guide.may(&text, grants).await;
        let rest: Vec<_> = all.iter().copied().filter(|action| !grants.contains(action)).collect();
        if !rest.is_empty() {
            guide.may_not(&text, &rest).await;
        }
        // What is granted can be taken back; what is not can be granted later.
        let of = |grants| ApiKey { grants, ..Default::default() };
        guide.change(update(&key.id, &["grants"], of(Vec::new()))).await.unwrap();
        guide.may_not(&text, all).await;
        guide.change(update(&key.id, &["grants"], of(grants_of(all)))).await.unwrap();
        guide.may(&text, all).await;
    }
    // A grant of api_keys.* is felt where keys are changed.
    let new = CreateApiKeyRequest {
        grants: grants_of(&["api_keys.create", "api_keys.revoke"]),
        ..new_key("admin")
    };
    let (_, text) = guide.create(new).await;
    let mut keys = guide.sidecar.keys_as(&text).await;
    let made = keys.create_api_key(new_key("read_only")).await.unwrap().into_inner();
    let id = made.api_key.unwrap().id;
    let rotate = RotateApiKeyRequest { id: id.clone(), ..Default::default() };
    let status = keys.rotate_api_key(rotate).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    keys.revoke_api_key(RevokeApiKeyRequest { id, ..Default::default() }).await.unwrap();

    // No other role can be granted any of it.
    for role in golden::ROLES.into_iter().filter(|role| *role != "admin") {
        for grant in &grantable {
            let new = CreateApiKeyRequest { grants: grants_of(&[grant]), ..new_key(role) };
            let status = guide.keys.create_api_key(new).await.unwrap_err();
            assert_eq!(status.code(), Code::InvalidArgument, "{role} {grant}");
        }
    }
    guide.sidecar.finish().await;
}

/// Managing Editor: "Editorial leads overseeing content strategy"
#[tokio::test]
async fn managing_editor_editorial_leads_overseeing_content_strategy() {
    is_row(
        "managing_editor",
        "Managing Editor (Editor-in-Chief)",
        "Editorial leads overseeing content strategy",
        "Approve and publish articles, oversee editorial workflows, and manage categories and \
         translations. Cannot modify team or billing settings.",
    )
    .await;
}

/// Managing Editor: "Approve and publish articles, oversee editorial workflows, and manage
/// categories and translations."
#[tokio::test]
async fn managing_editor_approve_and_publish_articles_oversee_editorial_workflows_and_manage_categories_and_translations()
 {
    let mut guide = Guide::start().await;
    let (_, text) = guide.key_of("managing_editor").await;
    guide.may(&text, &["articles.approve", "articles.publish"]).await;
    // Whoever approves has read and reviewed; whoever publishes can take it back.
    guide.may(&text, &["articles.read", "articles.review", "articles.unpublish"]).await;
    guide.may(&text, &["workflows.read", "workflows.update"]).await;
    let managed = all_of(&["categories", "translations"]);
    assert_eq!(managed.len(), 4 + 4);
    guide.may(&text, &managed).await;
    guide.sidecar.finish().await;
}

/// Managing Editor: "Cannot modify team or billing settings."
#[tokio::test]
async fn managing_editor_cannot_modify_team_or_billing_settings() {
    let mut guide = Guide::start().await;
    let (_, text) = guide.key_of("managing_editor").await;
    guide.may_not(&text, &all_of(&["team", "billing", "settings", "users"])).await;
    guide.sidecar.finish().await;
}

/// Publisher: "Publishing and release managers"
#[tokio::test]
async fn publisher_publishing_and_release_managers() {
    is_row(
        "publisher",
        "Publisher",
        "Publishing and release managers",
        "Handle publishing, scheduling, and visibility of content. Can manage release timelines \
         and locales but cannot alter user or team settings.",
    )
    .await;
}

/// Publisher: "Handle publishing, scheduling, and visibility of content."
#[tokio::test]
async fn publisher_handle_publishing_scheduling_and_visibility_of_content() {
    let mut guide = Guide::start().await;
    let (_, text) = guide.key_of("publisher").await;
    let handled = ["articles.publish", "articles.schedule", "articles.set_visibility"];
    guide.may(&text, &handled).await;
    guide.may(&text, &["articles.read", "articles.unpublish"]).await;
    // The release of content, not its making.
    let made = ["articles.create", "articles.update", "articles.delete", "articles.localize"];
    guide.may_not(&text, &made).await;
    guide.sidecar.finish().await;
}

/// Publisher: "Can manage release timelines and locales but cannot alter user or team settings."
#[tokio::test]
async fn publisher_can_manage_release_timelines_and_locales_but_cannot_alter_user_or_team_settings()
{
    let mut guide = Guide::start().await;
    let (_, text) = guide.key_of("publisher").await;
    let managed = all_of(&["releases", "locales"]);
    assert_eq!(managed.len(), 4 + 4);
    guide.may(&text, &managed).await;
    guide.may_not(&text, &all_of(&["users", "team", "settings"])).await;
    guide.sidecar.finish().await;
}

/// Editor: "Reviewers and content editors"
#[tokio::test]
async fn editor_reviewers_and_content_editors() {
    is_row(
        "editor",
        "Editor",
        "Reviewers and content editors",
        "Create, edit, and localize articles; review submissions; manage media assets. Cannot \
         publish or access administrative settings.",
    )
    .await;
}

/// Editor: "Create, edit, and localize articles; review submissions; manage media assets."
#[tokio::test]
async fn editor_create_edit_and_localize_articles_review_submissions_manage_media_assets() {
    let mut guide = Guide::start().await;
    let (_, text) = guide.key_of("editor").await;
    // Anybody's, in any state.
    guide.may(&text, &["articles.create", "articles.update", "articles.localize"]).await;
    guide.may(&text, &["articles.review", "articles.read"]).await;
    let media = all_of(&["media"]);
    assert_eq!(media.len(), 4);
    guide.may(&text, &media).await;
    // Submissions are what writers submit for review, not what visitors send by a form.
    guide.may_not(&text, &all_of(&["submissions"])).await;
    guide.sidecar.finish().await;
}

/// Editor: "Cannot publish or access administrative settings."
#[tokio::test]
async fn editor_cannot_publish_or_access_administrative_settings() {
    let mut guide = Guide::start().await;
    let (_, text) = guide.key_of("editor").await;
    let release = ["articles.publish", "articles.unpublish", "articles.schedule"];
    guide.may_not(&text, &release).await;
    guide.may_not(&text, &["articles.set_visibility", "articles.approve", "social.publish"]).await;
    // Access: not even reading.
    let administrative = ["settings", "users", "team", "billing", "api_keys", "audit"];
    guide.may_not(&text, &all_of(&administrative)).await;
    let mut keys = guide.sidecar.keys_as(&text).await;
    let status = keys.list_api_keys(ListApiKeysRequest::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    guide.sidecar.finish().await;
}

/// Writer: "Authors and contributors"
#[tokio::test]
async fn writer_authors_and_contributors() {
    is_row(
        "writer",
        "Writer",
        "Authors and contributors",
        "Create and edit their own drafts, upload media, and submit content for editorial review. \
         Cannot publish or delete articles.",
    )
    .await;
}

/// Writer: "Create and edit their own drafts, upload media, and submit content for editorial
/// review."
#[tokio::test]
async fn writer_create_and_edit_their_own_drafts_upload_media_and_submit_content_for_editorial_review()
 {
    let mut guide = Guide::start().await;
    // Their own: the key's, or those of the person that it writes for.
    let ana = CreateApiKeyRequest { subject: "ana".into(), ..new_key("writer") };
    for new in [new_key("writer"), ana] {
        let (key, text) = guide.create(new).await;
        guide.may(&text, &["articles.create", "media.upload"]).await;
        let drafts = ["articles.update", "articles.submit"];
        let own = resource(&key.subject, "draft");
        guide.answers(&text, &drafts, &own, Reason::Allowed).await;
        guide.answers(&text, &["articles.read"], &own, Reason::Allowed).await;
        // Not those of others, and not their own once they are no drafts any more.
        for on in all_kinds() {
            guide.answers(&text, &drafts, &on, Reason::ConditionUnmet).await;
        }
        for state in ["", "in_review", "published", "archived", "Draft"] {
            let on = resource(&key.subject, state);
            guide.answers(&text, &drafts, &on, Reason::ConditionUnmet).await;
        }
        let other = resource("somebody", "draft");
        guide.answers(&text, &["articles.read"], &other, Reason::ConditionUnmet).await;
        let mut media = all_of(&["media"]);
        media.retain(|action| !["media.upload", "media.read"].contains(action));
        guide.may_not(&text, &media).await;
    }
    guide.sidecar.finish().await;
}

/// Writer: "Cannot publish or delete articles."
#[tokio::test]
async fn writer_cannot_publish_or_delete_articles() {
    let mut guide = Guide::start().await;
    let (key, text) = guide.key_of("writer").await;
    let never = [
        "articles.publish",
        "articles.delete",
        "articles.unpublish",
        "articles.schedule",
        "articles.set_visibility",
        "articles.approve",
        "social.publish",
    ];
    guide.may_not(&text, &never).await;
    // Not even their own.
    for state in ["", "draft", "in_review", "published"] {
        let own = resource(&key.subject, state);
        guide.answers(&text, &never, &own, Reason::ActionDenied).await;
    }
    guide.sidecar.finish().await;
}

/// Read-only: "Public websites, caching layers, and analytics tools"
#[tokio::test]
async fn read_only_public_websites_caching_layers_and_analytics_tools() {
    is_row(
        "read_only",
        "Read-only",
        "Public websites, caching layers, and analytics tools",
        "View-only access. Can read published articles, media, categories, and translations, but \
         has no write or modification permissions.",
    )
    .await;
}

/// Read-only: "View-only access."
#[tokio::test]
async fn read_only_view_only_access() {
    let mut guide = Guide::start().await;
    let (key, text) = guide.key_of("read_only").await;
    guide.may_not(&text, &all_writes()).await;
    for state in ["", "draft", "published"] {
        let own = resource(&key.subject, state);
        guide.answers(&text, &all_writes(), &own, Reason::ActionDenied).await;
    }
    guide.sidecar.finish().await;
}

/// Read-only: "Can read published articles, media, categories, and translations, but has no write
/// or modification permissions."
#[tokio::test]
async fn read_only_can_read_published_articles_media_categories_and_translations_but_has_no_write_or_modification_permissions()
 {
    let mut guide = Guide::start().await;
    let (key, text) = guide.key_of("read_only").await;
    guide.may(&text, &["media.read", "categories.read"]).await;
    let content = ["articles.read", "translations.read"];
    for owner in ["", "somebody", &key.subject] {
        let published = resource(owner, "published");
        guide.answers(&text, &content, &published, Reason::Allowed).await;
        // Its own, if there were any, are not published by being its own.
        for state in ["", "draft", "in_review", "archived", "Published", "published "] {
            let on = resource(owner, state);
            guide.answers(&text, &content, &on, Reason::ConditionUnmet).await;
        }
    }
    let written = all_of(&["articles", "media", "categories", "translations"]);
    let written: Vec<_> = written.into_iter().filter(|action| !action.ends_with(".read")).collect();
    guide.may_not(&text, &written).await;
    guide.may_not(&text, &all_writes()).await;
    let mut keys = guide.sidecar.keys_as(&text).await;
    let status = keys.create_api_key(new_key("read_only")).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    guide.sidecar.finish().await;
}
