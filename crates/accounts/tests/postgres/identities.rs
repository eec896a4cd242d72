//! The same on two servers: what one has linked or used up, the other knows.

use tokenmill_accounts::{AttemptError, Identity, Newcomers};

use crate::database::Postgres;
use crate::fleet::fleet;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_in_that_began_on_one_server_ends_on_another_once() {
    let Some(postgres) = Postgres::start() else { return };
    let fleet = fleet(2, &postgres.url()).await;
    let (one, two) = (&fleet.servers[0].0, &fleet.servers[1].0);
    let attempt = one.begin_attempt("corp", "/console/").expect("begun");
    let taken = two
        .take_attempt("corp", &attempt.cookie(), &attempt.state)
        .await
        .expect("the secret is shared");
    assert_eq!(taken.verifier, attempt.verifier);
    let again = one.take_attempt("corp", &attempt.cookie(), &attempt.state).await;
    assert!(matches!(again, Err(AttemptError::Used)));

    let identity = |mail| Identity {
        provider: "corp",
        issuer: "https://corp.example",
        subject: "1",
        mail,
    };
    let join = Newcomers::Join {
        team: "default".to_owned(),
        is_admin: false,
    };
    one.sign_in_as(identity(Some("ann@corp.example")), &join)
        .await
        .expect("she joins");
    let token = two
        .sign_in_as(identity(None), &join)
        .await
        .expect("she is linked");
    let caller = one.session(token.expose(), None).await.expect("signed in");
    let (mail, links) = two.identities(&caller.person).await.expect("readable");
    assert_eq!((mail.as_deref(), links.len()), (Some("ann@corp.example"), 1));
    let members = two.members("default").await.expect("readable");
    assert!(
        members
            .iter()
            .any(|member| member.person == "ann" && member.is_linked)
    );
    assert!(
        !two.is_only_in("ann", &["default".to_owned()])
            .await
            .expect("readable")
    );
    two.set_mail("test", "ann", None).await.expect("taken away");
    assert!(one.session(token.expose(), None).await.is_err());
}
