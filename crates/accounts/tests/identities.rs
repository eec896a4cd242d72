//! People who sign in at an identity provider: links, newcomers, and sign-ins that come back once.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use tokenmill_accounts::{
    ATTEMPT_LIFE, Accounts, AttemptError, Clock, Identity, IdentityError, ManageError, Newcomers, Timestamp,
};

/// A clock that stands still until it is set.
#[derive(Clone, Default)]
struct TestClock(Arc<AtomicI64>);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

async fn started(clock: TestClock) -> (Accounts, tempfile::TempDir) {
    let dir = tempfile::tempdir().expect("a folder");
    let accounts = Accounts::open_with(dir.path(), None, Arc::new(clock))
        .await
        .expect("a new database");
    accounts.ensure_first().await.expect("a first team");
    (accounts, dir)
}

fn at_corp<'a>(subject: &'a str, mail: Option<&'a str>) -> Identity<'a> {
    Identity {
        provider: "corp",
        issuer: "https://corp.example",
        subject,
        mail,
    }
}

/// The name of whoever signs in.
async fn enter(accounts: &Accounts, identity: Identity<'_>, newcomers: &Newcomers) -> Result<String, String> {
    let token = accounts.sign_in_as(identity, newcomers).await;
    let token = token.map_err(|error: IdentityError| error.to_string())?;
    let caller = accounts.session(token.expose(), None).await.expect("a session");
    Ok(caller.person.name.clone())
}

async fn refused(accounts: &Accounts, identity: Identity<'_>, newcomers: &Newcomers) -> IdentityError {
    accounts
        .sign_in_as(identity, newcomers)
        .await
        .expect_err("kept out")
}

const NOBODY_NEW: &Newcomers = &Newcomers::Refused;

#[tokio::test]
async fn a_verified_address_links_a_person_and_from_then_on_the_subject_decides() {
    let (accounts, _dir) = started(TestClock::default()).await;
    let unknown = refused(&accounts, at_corp("1", Some("ann@corp.example")), NOBODY_NEW).await;
    assert!(matches!(unknown, IdentityError::Unknown(mail) if mail == "ann@corp.example"));
    accounts
        .add_member("test", "default", "ann", false)
        .await
        .unwrap();
    accounts
        .set_mail("test", "ann", Some("Ann@Corp.Example"))
        .await
        .unwrap();
    let unverified = refused(&accounts, at_corp("1", None), NOBODY_NEW).await;
    assert!(matches!(unverified, IdentityError::NoMail));
    let ann = || Ok("ann".to_owned());
    let first = enter(&accounts, at_corp("1", Some("ann@CORP.example")), NOBODY_NEW).await;
    assert_eq!(first, ann());
    // Whatever address is told now.
    for mail in [None, Some("other@corp.example")] {
        assert_eq!(enter(&accounts, at_corp("1", mail), NOBODY_NEW).await, ann());
    }
    // The address has gone to somebody else there, who is not ann here; another provider may vouch for her as well.
    let second = refused(&accounts, at_corp("2", Some("ann@corp.example")), NOBODY_NEW).await;
    assert!(matches!(second, IdentityError::LinkedElsewhere(_)));
    let elsewhere = Identity {
        issuer: "https://login.example",
        ..at_corp("2", Some("ann@corp.example"))
    };
    assert_eq!(enter(&accounts, elsewhere, NOBODY_NEW).await, ann());
    let member = accounts.members("default").await.unwrap();
    let member = member.iter().find(|member| member.person == "ann").unwrap();
    assert!(member.is_linked && member.mail.as_deref() == Some("ann@corp.example"));
    let audit = accounts.audit(10).await.unwrap();
    let links: Vec<_> = audit.iter().filter(|line| line.action == "person.link").collect();
    assert_eq!(links.len(), 2);
    assert_eq!(
        (links[0].actor.as_str(), links[0].target.as_str()),
        ("sign-in with corp", "ann")
    );
}

#[tokio::test]
async fn whoever_was_taken_out_of_every_team_stays_out() {
    let (accounts, _dir) = started(TestClock::default()).await;
    let join = Newcomers::Join {
        team: "default".to_owned(),
        is_admin: false,
    };
    let ann = at_corp("1", Some("ann@corp.example"));
    assert_eq!(enter(&accounts, ann, &join).await, Ok("ann".to_owned()));
    accounts.remove_member("test", "default", "ann").await.unwrap();
    assert!(matches!(
        refused(&accounts, ann, &join).await,
        IdentityError::Removed
    ));
    // Nor by a subject that is not linked yet.
    accounts
        .add_member("test", "default", "bob", false)
        .await
        .unwrap();
    accounts
        .set_mail("test", "bob", Some("bob@corp.example"))
        .await
        .unwrap();
    accounts.remove_member("test", "default", "bob").await.unwrap();
    let bob = at_corp("2", Some("bob@corp.example"));
    assert!(matches!(
        refused(&accounts, bob, &join).await,
        IdentityError::Removed
    ));
}

#[tokio::test]
async fn newcomers_join_the_team_that_is_theirs_under_a_name_of_their_own() {
    let (accounts, _dir) = started(TestClock::default()).await;
    let join = |team: &str| Newcomers::Join {
        team: team.to_owned(),
        is_admin: true,
    };
    let nowhere = refused(
        &accounts,
        at_corp("1", Some("admin@corp.example")),
        &join("nowhere"),
    )
    .await;
    assert!(matches!(nowhere, IdentityError::NoTeam(team) if team == "nowhere"));
    // The first operator is called admin, and has no address: this is somebody else.
    let name = enter(
        &accounts,
        at_corp("1", Some("admin@corp.example")),
        &join("default"),
    )
    .await;
    assert_eq!(name, Ok("admin-2".to_owned()));
    let members = accounts.members("default").await.unwrap();
    let member = members.iter().find(|member| member.person == "admin-2").unwrap();
    assert_eq!((member.role.as_str(), member.is_operator), ("admin", false));
    let audit = accounts.audit(1).await.unwrap().remove(0);
    assert_eq!(
        (audit.action.as_str(), audit.target.as_str()),
        ("person.join", "admin-2")
    );
    assert!(audit.detail.contains("\"team\":\"default\""), "{}", audit.detail);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_first_sign_ins_at_once_one_makes_the_person() {
    let (accounts, _dir) = started(TestClock::default()).await;
    let joins = (0..8).map(|_| {
        let accounts = accounts.clone();
        tokio::spawn(async move {
            let join = Newcomers::Join {
                team: "default".to_owned(),
                is_admin: false,
            };
            enter(&accounts, at_corp("1", Some("ann@corp.example")), &join).await
        })
    });
    for join in joins.collect::<Vec<_>>() {
        assert_eq!(join.await.unwrap(), Ok("ann".to_owned()));
    }
    assert_eq!(accounts.members("default").await.unwrap().len(), 2);
}

#[tokio::test]
async fn another_address_undoes_the_links_and_what_they_opened() {
    let (accounts, _dir) = started(TestClock::default()).await;
    accounts
        .add_member("test", "default", "ann", false)
        .await
        .unwrap();
    let set = async |person: &str, mail: Option<&str>| accounts.set_mail("test", person, mail).await;
    set("ann", Some("ann@corp.example")).await.unwrap();
    let identity = at_corp("1", Some("ann@corp.example"));
    let token = accounts.sign_in_as(identity, NOBODY_NEW).await.unwrap();
    set("ann", Some("ANN@corp.example")).await.unwrap();
    assert!(
        accounts.session(token.expose(), None).await.is_ok(),
        "nothing has changed"
    );
    assert!(matches!(
        set("admin", Some("ann@corp.example")).await,
        Err(ManageError::Exists { .. })
    ));
    assert!(matches!(
        set("admin", Some("ann")).await,
        Err(ManageError::Invalid(_))
    ));
    assert!(matches!(
        set("nobody", None).await,
        Err(ManageError::Unknown { .. })
    ));
    set("ann", Some("ann@new.example")).await.unwrap();
    assert!(accounts.session(token.expose(), None).await.is_err());
    let old = refused(&accounts, identity, NOBODY_NEW).await;
    assert!(matches!(old, IdentityError::Unknown(_)));
    let new = at_corp("2", Some("ann@new.example"));
    assert_eq!(enter(&accounts, new, NOBODY_NEW).await, Ok("ann".to_owned()));
}

#[tokio::test]
async fn whoever_has_a_way_in_is_not_an_administrators_to_give_another() {
    let (accounts, _dir) = started(TestClock::default()).await;
    let teams = ["default".to_owned()];
    accounts
        .add_member("test", "default", "ann", false)
        .await
        .unwrap();
    accounts
        .set_mail("test", "ann", Some("ann@corp.example"))
        .await
        .unwrap();
    assert!(accounts.is_only_in("ann", &teams).await.unwrap());
    let identity = at_corp("1", Some("ann@corp.example"));
    enter(&accounts, identity, NOBODY_NEW).await.unwrap();
    assert!(!accounts.is_only_in("ann", &teams).await.unwrap());
}

#[tokio::test]
async fn a_sign_in_comes_back_once_in_time_and_to_the_browser_that_began_it() {
    let clock = TestClock::default();
    let (accounts, _dir) = started(clock.clone()).await;
    let begin = || accounts.begin_attempt("corp", "/console/usage?by=key").unwrap();
    let (one, other) = (begin(), begin());
    let take = async |provider: &str, cookie: &str, state: &str| {
        accounts.take_attempt(provider, cookie, state).await
    };
    let not_begun = |taken| matches!(taken, Err(AttemptError::NotBegun));
    assert!(not_begun(take("corp", &one.cookie(), &other.state).await));
    assert!(not_begun(take("login", &one.cookie(), &one.state).await));
    for bad in ["", "a", "a.b.c", "..", &one.cookie()[1..]] {
        assert!(not_begun(take("corp", bad, &one.state).await), "{bad:?}");
    }
    // Another way back, or a later end, is not what the state was made for.
    let changed = accounts.begin_attempt("corp", "/console/keys").unwrap().cookie();
    let next = changed.rsplit('.').next().unwrap();
    let cookie = one.cookie();
    let parts: Vec<_> = cookie.split('.').collect();
    for forged in [
        format!("{}.{}.{next}", parts[0], parts[1]),
        format!("{}.{}9.{}", parts[0], parts[1], parts[2]),
    ] {
        assert!(not_begun(take("corp", &forged, &one.state).await), "{forged}");
    }
    let taken = take("corp", &one.cookie(), &one.state).await.unwrap();
    assert_eq!(taken.next(), "/console/usage?by=key");
    assert_eq!((&taken.nonce, &taken.verifier), (&one.nonce, &one.verifier));
    assert_ne!(one.nonce, other.nonce);
    assert!(matches!(
        take("corp", &one.cookie(), &one.state).await,
        Err(AttemptError::Used)
    ));
    let end = i64::try_from(ATTEMPT_LIFE.as_millis()).unwrap();
    clock.0.store(end, Ordering::SeqCst);
    assert!(matches!(
        take("corp", &other.cookie(), &other.state).await,
        Err(AttemptError::Expired)
    ));
}
