//! Spawned servers and real peers, scripted clients, the reference model.
