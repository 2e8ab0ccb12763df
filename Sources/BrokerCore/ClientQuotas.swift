/// How fast clients may produce and consume: Kafka's `producer_byte_rate` and `consumer_byte_rate`, by client id.
package struct QuotaLimits: Sendable {
    /// Bytes per second; nil for no limit.
    package struct Rates: Sendable, Hashable {
        package var produce: Int?
        package var consume: Int?
        package init(produce: Int? = nil, consume: Int? = nil) {
            self.produce = produce
            self.consume = consume
        }
    }

    /// For each client id that has none of its own. Connections without a client id share one.
    package var standard = Rates()
    /// By client id. What one of these leaves out is as in the standard.
    package var own: [String: Rates] = [:]
    package init() {}
}

/// What the clients have used of their quotas.
///
/// Nobody gets an error: a connection whose client has used up its quota is not served until it is paid for. All
/// connections of a client id share one account, on whatever door, and a new connection does not clear it.
package final class ClientQuotas {
    private let limits: QuotaLimits
    private var clients: [String: ClientQuota] = [:]
    /// By the seat's name.
    private var seats: [String: ClientQuota] = [:]
    /// When those that owe nothing may be looked for again: not for each connection.
    private var nextSweep: UInt64 = 0
    /// Clients that are remembered; beyond it those that owe nothing are forgotten. When all owe something, those that
    /// come with another id, and have no rates of their own, share the account of those without one.
    package static let clientsMax = 10_000

    package init(_ limits: QuotaLimits) { self.limits = limits }

    /// Clients that are remembered now.
    var count: Int { clients.count }

    /// The account of a client id; nil when nothing limits it.
    /// - Parameter now: Nanoseconds of a monotonic clock.
    package func client(_ id: String, now: UInt64) -> ClientQuota? {
        if let known = clients[id] { return known }
        guard let quota = makeQuota(id) else { return nil }
        if clients.count >= Self.clientsMax, now >= nextSweep {
            // One that is still connected and owes nothing loses at most its burst.
            clients = clients.filter { !$0.value.owesNothing(now: now) }
            nextSweep = now + 1_000_000_000
        }
        if clients.count >= Self.clientsMax, limits.own[id] == nil, !id.isEmpty { return client("", now: now) }
        clients[id] = quota
        return quota
    }

    /// The account of a seat. Its rates are those of the client id of this name, but no client id leads to it.
    package func seat(_ name: String) -> ClientQuota? {
        if let known = seats[name] { return known }
        let quota = makeQuota(name)
        seats[name] = quota
        return quota
    }

    private func makeQuota(_ id: String) -> ClientQuota? {
        let own = limits.own[id]
        let produce = own?.produce ?? limits.standard.produce
        let consume = own?.consume ?? limits.standard.consume
        guard produce != nil || consume != nil else { return nil }
        return ClientQuota(produce: produce.map { ByteRate($0) }, consume: consume.map { ByteRate($0) })
    }
}

/// One client's account.
package final class ClientQuota {
    /// Bytes of batches that it announces.
    package var produce: ByteRate?
    /// Bytes that are pushed to it.
    package var consume: ByteRate?

    init(produce: ByteRate?, consume: ByteRate?) {
        self.produce = produce
        self.consume = consume
    }

    func owesNothing(now: UInt64) -> Bool { [produce, consume].allSatisfy { $0?.wait(now: now) == nil } }
}

/// A token bucket that holds one second's worth: what is taken beyond it must be waited for, afterwards.
package struct ByteRate: Sendable {
    /// Positive.
    package let bytesPerSecond: Int
    /// When everything taken so far is paid for, in nanoseconds of the caller's clock.
    private var paidAt: UInt64 = 0

    package init(_ bytesPerSecond: Int) {
        precondition(bytesPerSecond > 0, "a rate is positive")
        self.bytesPerSecond = bytesPerSecond
    }

    /// When service goes on; nil for now.
    package func wait(now: UInt64) -> UInt64? { paidAt > now ? paidAt : nil }

    /// Takes bytes, at once.
    package mutating func charge(_ byteCount: Int, now: UInt64) {
        let cost = UInt64(Double(byteCount) / Double(bytesPerSecond) * 1e9)
        paidAt = max(paidAt, now - min(now, Self.burstNanoseconds)) + cost
    }

    private static var burstNanoseconds: UInt64 { 1_000_000_000 }
}
