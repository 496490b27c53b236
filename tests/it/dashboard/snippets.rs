//! The commands on the page of a new key do what it says, in a shell, for whoever gets the key.

use std::process::Command;

use crate::{
    command_line::program,
    dashboard_security::{browser::Browser, html},
    golden,
    sidecar::Sidecar,
};

/// The text of the snippet `id`.
fn snippet(page: &str, id: &str) -> String {
    let (_, from) = page.split_once(&format!("id=\"{id}\"")).unwrap_or_else(|| panic!("{page}"));
    let (_, from) = from.split_once("<code>").unwrap();
    html::words(from.split_once("</code>").unwrap().0)
}

#[tokio::test]
async fn the_check_of_every_role_is_allowed_as_it_stands_there() {
    let sidecar = Sidecar::start();
    let mut browser = Browser::signed_in(&sidecar, &sidecar.operator_token());
    let folder = std::path::Path::new(program().get_program()).parent().unwrap().to_owned();
    for role in golden::ROLES {
        let form = [
            ("name", role.to_owned()),
            ("service", "ai-cms".to_owned()),
            ("role", role.to_owned()),
            ("expires", "30d".to_owned()),
            ("subject", "the agency's".to_owned()),
            ("form", format!("{role:_>43}")),
        ];
        let page = browser.post("/keys/new", &form);
        assert_eq!(page.status, 200, "{role}: {page:?}");
        let [variable, check] = ["snippet-env", "snippet-check"].map(|id| snippet(&page.body, id));
        let ended = Command::new("sh")
            .args(["-c", &format!("PATH={}:$PATH\n{variable}\n{check}", folder.display())])
            .env("OCTAVIA_AUTHZ_SERVER", format!("http://{}", sidecar.listen))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&ended.stdout);
        let failed = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(said, "allowed\n", "{role}: {check}: {failed}");
    }
    sidecar.finish().await;
}
