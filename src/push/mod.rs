//! The providers: APNs and FCM, and a strict stand-in for both.
