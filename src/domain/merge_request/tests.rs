//! Tests of the rules about merge requests.
