import Resources
import Testing

@Suite struct HealthMonitorTests {
    var monitor = HealthMonitor(debounce: .milliseconds(300))
    let key = HealthMonitor.Key(identity: "a", policy: .anyPort)

    mutating func see(_ isWell: Bool?, at milliseconds: Int) -> Bool {
        monitor.observe(isWell.map { [key: $0] } ?? [:], at: .milliseconds(milliseconds))
        return monitor.isHealthy(key)
    }

    @Test mutating func changeCountsOnceItLasted() {
        #expect(see(true, at: 0))
        #expect(see(false, at: 1000))
        #expect(monitor.nextLook == .milliseconds(1300))
        #expect(see(false, at: 1299))
        #expect(!see(false, at: 1300))
        #expect(monitor.nextLook == nil)
        #expect(!see(true, at: 1400))
        #expect(see(true, at: 1700))
    }

    @Test mutating func flapIsNotTold() {
        #expect(see(true, at: 0))
        for step in 1...50 { #expect(see(step.isMultiple(of: 2), at: step * 200)) }
    }

    @Test mutating func newDeviceIsBelievedAtOnce() {
        #expect(!see(false, at: 0))
        #expect(!see(nil, at: 10))
        #expect(see(true, at: 20))
    }
}
