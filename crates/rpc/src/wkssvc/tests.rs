use proptest::prelude::*;

use super::*;
use crate::Win32Error;
use crate::call::DecodeError;
use crate::entropy::{Any, Entropy};

proptest! {
    #[test]
    fn requests_and_refusals_round_trip(seed in prop::collection::vec(any::<u8>(), 0..100)) {
        let request: Request = Any::any(&mut Entropy(&seed));
        let refusal = request.refuse(Win32Error::INVALID_LEVEL);
        prop_assert_eq!(Response::decode(request.opnum(), &refusal.encode()), Ok(refusal));
        prop_assert_eq!(Request::decode(request.opnum(), &request.encode()), Ok(request));
    }

    #[test]
    fn responses_round_trip(seed in prop::collection::vec(any::<u8>(), 0..200)) {
        let response: Response = Any::any(&mut Entropy(&seed));
        prop_assert_eq!(Response::decode(response.opnum(), &response.encode()), Ok(response));
    }
}

#[test]
fn other_operations_are_out_of_range() {
    assert_eq!(Request::decode(4, &[0; 64]), Err(DecodeError::Opnum(4)));
}
