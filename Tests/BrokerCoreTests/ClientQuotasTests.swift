import Testing

@testable import BrokerCore

/// Byte rates, with the time given by the test.
@Suite struct ClientQuotasTests {
    private let second: UInt64 = 1_000_000_000

    /// Served as soon as it is allowed to be: in ten seconds ten seconds' worth, and the burst.
    @Test(arguments: [1000, 65_536, 3_000_000]) func bytesOverTime(_ chunk: Int) {
        var rate = ByteRate(1_000_000)
        let start: UInt64 = 50 * second
        var now = start
        var taken = 0
        while now < start + 10 * second {
            if let time = rate.wait(now: now) {
                now = time
            } else {
                rate.charge(chunk, now: now)
                taken += chunk
            }
        }
        // What is under way when the time is over may be one chunk more.
        #expect(taken >= 10_000_000 && taken <= 11_000_000 + chunk, "\(taken)")
    }

    @Test func anIdleTimeIsWorthOneSecond() {
        var rate = ByteRate(1000)
        rate.charge(1000, now: 10 * second)
        #expect(rate.wait(now: 10 * second) == nil)
        rate.charge(500, now: 10 * second)
        #expect(rate.wait(now: 10 * second) == 10 * second + second / 2)
        #expect(rate.wait(now: 11 * second) == nil)
        // However long nothing was asked for.
        rate.charge(2000, now: 1000 * second)
        #expect(rate.wait(now: 1000 * second) == 1001 * second)
    }

    @Test func accounts() {
        var limits = QuotaLimits()
        limits.standard.produce = 100
        limits.own["backup"] = .init(consume: 5)
        limits.own["fast"] = .init(produce: 1 << 40)
        let quotas = ClientQuotas(limits)
        let first = quotas.client("a", now: 0)
        #expect(first === quotas.client("a", now: 0) && first !== quotas.client("b", now: 0))
        #expect(first?.produce?.bytesPerSecond == 100 && first?.consume == nil)
        let backup = quotas.client("backup", now: 0)
        #expect(backup?.produce?.bytesPerSecond == 100 && backup?.consume?.bytesPerSecond == 5)
        #expect(quotas.client("fast", now: 0)?.produce?.bytesPerSecond == 1 << 40)
        #expect(ClientQuotas(QuotaLimits()).client("a", now: 0) == nil)
    }

    /// Ids without end take no memory without end, and who owes is remembered.
    @Test func idsAreForgotten() {
        var limits = QuotaLimits()
        limits.standard.produce = 100
        let quotas = ClientQuotas(limits)
        let debtor = quotas.client("debtor", now: second)
        debtor?.produce?.charge(100_000, now: second)
        for number in 0..<25_000 { _ = quotas.client("\(number)", now: 2 * second) }
        #expect(quotas.client("debtor", now: 2 * second) === debtor)
        #expect(quotas.count <= ClientQuotas.clientsMax + 1)
        // A new id for each connection, and all of them owe something: bounded, and they share what is left.
        for number in 0..<25_000 {
            quotas.client("stranger \(number)", now: 4 * second)?.produce?.charge(100_000, now: 4 * second)
        }
        #expect(quotas.count <= ClientQuotas.clientsMax + 1)
        let shared = quotas.client("yet another", now: 4 * second)
        #expect(shared === quotas.client("", now: 4 * second) && shared?.produce?.wait(now: 4 * second) != nil)
    }
}
