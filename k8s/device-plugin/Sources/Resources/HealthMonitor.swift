/// Turns what is seen of devices into what is told about them: a change counts once it has lasted.
///
/// One monitor serves all resources, so that those that share a device agree. Time is the caller's.
package struct HealthMonitor: Sendable {
    /// A device, by a policy.
    package struct Key: Hashable, Sendable {
        /// ``DeviceIdentity``.
        package var identity: String
        /// What counts as well.
        package var policy: HealthPolicy

        /// A key.
        package init(identity: String, policy: HealthPolicy) {
            self.identity = identity
            self.policy = policy
        }
    }

    private struct State {
        var told: Bool
        /// When it was first seen otherwise, if it is.
        var differsSince: Duration?
    }

    /// How long a change must last.
    package let debounce: Duration
    private var states: [Key: State] = [:]

    /// A monitor that has seen nothing.
    package init(debounce: Duration = .milliseconds(300)) { self.debounce = debounce }

    /// Takes a look's result. A device that was not there before is believed at once; one that is gone is forgotten.
    package mutating func observe(_ seen: [Key: Bool], at now: Duration) {
        states = states.filter { seen[$0.key] != nil }
        for (key, isWell) in seen {
            var state = states[key] ?? State(told: isWell, differsSince: nil)
            if state.told == isWell {
                state.differsSince = nil
            } else if let since = state.differsSince, now - since >= debounce {
                state = State(told: isWell, differsSince: nil)
            } else if state.differsSince == nil {
                state.differsSince = now
            }
            states[key] = state
        }
    }

    /// Whether a device is well, as it is told.
    package func isHealthy(_ key: Key) -> Bool { states[key]?.told ?? false }

    /// When to look again, because a change may have lasted by then; nil when nothing is open.
    package var nextLook: Duration? { states.values.compactMap(\.differsSince).min().map { $0 + debounce } }
}
