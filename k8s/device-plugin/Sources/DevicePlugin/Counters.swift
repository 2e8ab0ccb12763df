import Synchronization

/// What happened to one resource since the start.
package final class Counters: Sendable {
    /// What is counted; the raw value is the metric's name without the program's.
    package enum Event: String, Sendable, CaseIterable {
        /// Register calls that the kubelet answered.
        case registrations = "registrations_total"
        /// Register calls that failed.
        case failedRegistrations = "registration_failures_total"
        /// Messages of ListAndWatch.
        case listMessages = "list_messages_total"
        /// Containers that got what they asked for.
        case allocations = "allocations_total"
        /// Containers that did not.
        case refusals = "allocation_refusals_total"
        /// ListAndWatch streams that ended, and sockets that vanished.
        case losses = "kubelet_losses_total"
    }

    private struct State {
        var counts: [Event: Int] = [:]
        var streamSince: ContinuousClock.Instant?
        var withoutStreamSince: ContinuousClock.Instant? = .now
    }

    private let state = Mutex(State())

    /// Everything at zero.
    package init() {}

    /// One more.
    package func count(_ event: Event) { state.withLock { $0.counts[event, default: 0] += 1 } }

    /// How many.
    package func value(_ event: Event) -> Int { state.withLock { $0.counts[event] ?? 0 } }

    /// Whether the kubelet listens, from now on.
    package func setStream(isOpen: Bool) {
        state.withLock { state in
            // What is so already stays so since then.
            if isOpen == (state.streamSince != nil) { return }
            state.streamSince = isOpen ? .now : nil
            state.withoutStreamSince = isOpen ? nil : .now
        }
    }

    /// How long the kubelet has listened; nil when it does not.
    package var streamAge: Duration? {
        state.withLock { $0.streamSince.map { $0.duration(to: .now) } }
    }

    /// How long it has not; nil when it does.
    package var silence: Duration? {
        state.withLock { $0.withoutStreamSince.map { $0.duration(to: .now) } }
    }
}
