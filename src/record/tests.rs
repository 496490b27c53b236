//! Properties of the stored form.

use proptest::{collection, option, prelude::*};

use super::*;

fn timestamp() -> impl Strategy<Value = Timestamp> {
    any::<i64>().prop_map(Timestamp)
}

fn scheme() -> impl Strategy<Value = Scheme> {
    let keyed = any::<[u8; 8]>().prop_map(|id| Scheme::Keyed(PepperId::from_bytes(&id).unwrap()));
    prop_oneof![Just(Scheme::Blake3), Just(Scheme::Sha256), keyed]
}

fn secret() -> impl Strategy<Value = SecretRecord> {
    let imported = (any::<[u8; 32]>(), any::<bool>()).prop_map(|(digest, sha256)| {
        let scheme = if sha256 { Scheme::Sha256 } else { Scheme::Blake3 };
        (scheme, Digest::from_bytes(digest))
    });
    let digest = (any::<[u8; 32]>(), scheme(), any::<bool>(), option::of(imported));
    (any::<u32>(), digest, ".{0,4}", timestamp(), option::of(timestamp())).prop_map(
        |(number, (digest, scheme, foreign, imported_as), hint, created, expires)| SecretRecord {
            number,
            scheme,
            digest: Digest::from_bytes(digest),
            foreign,
            hint,
            created,
            expires,
            imported_as,
        },
    )
}

fn key_id() -> impl Strategy<Value = KeyId> {
    "[0-9A-Za-z]{10}".prop_map(|text| text.parse().unwrap())
}

fn actor() -> impl Strategy<Value = Actor> {
    prop_oneof![Just(Actor::Operator), Just(Actor::Repair), key_id().prop_map(Actor::Key)]
}

fn record() -> impl Strategy<Value = KeyRecord> {
    let texts = (".*", ".*", ".*", ".*", ".*", ".*");
    let times = (timestamp(), timestamp(), option::of(timestamp()), option::of(timestamp()));
    let lists = (
        collection::vec(".*", 0..4),
        collection::btree_map(".*", ".*", 0..4),
        collection::vec(secret(), 0..3),
    );
    (key_id(), texts, times, lists, any::<bool>(), any::<u64>(), actor()).prop_map(
        |(id, texts, times, lists, active, revision, created_by)| KeyRecord {
            id,
            name: texts.0,
            team: texts.1,
            service: texts.2,
            role: texts.3,
            subject: texts.4,
            description: texts.5,
            created: times.0,
            updated: times.1,
            expires: times.2,
            imported: times.3,
            grants: lists.0,
            labels: lists.1,
            secrets: lists.2,
            active,
            revision,
            created_by,
        },
    )
}

proptest! {
    #[test]
    fn what_is_stored_is_read_back(record in record()) {
        let bytes = record.encode();
        prop_assert_eq!(&KeyRecord::decode(&bytes).unwrap(), &record);
        prop_assert_eq!(KeyRecord::decode(&bytes).unwrap().encode(), bytes);
    }

    #[test]
    fn any_bytes_are_read_or_refused_without_a_panic(bytes in collection::vec(any::<u8>(), 0..256)) {
        let _ = KeyRecord::decode(&bytes);
    }

    #[test]
    fn a_cut_record_never_becomes_another_key(record in record(), cut in any::<proptest::sample::Index>()) {
        let bytes = record.encode();
        if let Ok(read) = KeyRecord::decode(&bytes[..cut.index(bytes.len())]) {
            prop_assert_eq!(read.id, record.id);
        }
    }

    #[test]
    fn fields_of_a_newer_program_do_no_harm(record in record(), value in any::<u32>()) {
        let mut bytes = record.encode();
        prost::encoding::uint32::encode(999, &value, &mut bytes);
        prop_assert_eq!(KeyRecord::decode(&bytes).unwrap(), record);
    }
}

#[test]
fn a_digest_of_another_length_is_refused() {
    let stored = StoredKey {
        id: "0123456789".to_owned(),
        created_by: "operator".to_owned(),
        secrets: vec![StoredSecret {
            digest: vec![0; 31],
            scheme: DigestScheme::Blake3.into(),
            ..StoredSecret::default()
        }],
        ..StoredKey::default()
    };
    let error = KeyRecord::decode(&stored.encode_to_vec()).unwrap_err();
    assert_eq!(error.to_string(), "stored key has an invalid digest");
}
