import LogSimulation
import Testing

/// System calls of a log's life fail: every 11th here, each with `log-crash-sim failures`.
@Suite struct NthFailureTests {
    /// What was acknowledged is there on a healthy disk; what was refused is not, or only as a tail that nobody was
    /// promised; after a failed sync nothing is acknowledged; errors name their file (`LogHarness` compares all that).
    @Test(arguments: SystemCall.Fault.allCases, [false, true])
    func callsFailInTurn(_ fault: SystemCall.Fault, isLasting: Bool) throws {
        // Whoever is interrupted for ever tries for ever.
        if fault == .interrupted && isLasting { return }
        let life = NthFailure(fault: fault, isLasting: isLasting)
        var failures = 0
        for number in stride(from: 1, to: 2000, by: 11) {
            do {
                let outcome = try life.run(number)
                failures += outcome.failures.isEmpty ? 0 : 1
                if outcome.faultsMet == 0 {
                    #expect(number > 11 && (failures > 0 || fault == .short))
                    return
                }
            } catch { Issue.record("call \(number): \(error)") }
        }
        Issue.record("never finished")
    }
}
