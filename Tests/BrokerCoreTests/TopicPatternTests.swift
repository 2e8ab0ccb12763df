import Testing

@testable import BrokerCore

@Suite struct TopicPatternTests {
    @Test(arguments: [
        ("flights", ["flights"], ["flights2", "flight", ""]),
        ("flights.*", ["flights", "flights-2"], ["xflights"]),
        ("^flights$", ["flights"], ["flights2"]),
        ("a|bc|", ["a", "bc", ""], ["abc", "b"]),
        ("(a|b)+c?", ["a", "abba", "bc"], ["c", "abcc"]),
        ("[a-c_.]{2,3}", ["ab", "a.c", "__"], ["a", "abca", "ad"]),
        ("[^a-z]+", ["A1-"], ["Aa"]),
        (#"t\.\d+"#, ["t.1", "t.12"], ["tx1", "t."]),
        (#"[\d-]*\w"#, ["1-2x", "_"], ["x1-"]),
        ("(?:x{2}y){2}", ["xxyxxy"], ["xxy"]),
        ("x{0,}?y{0}", ["", "xxx"], ["y"]),
        ("(a*)*b", ["b", "aab"], ["aa"]),
    ]) func matchesWholeNames(_ text: String, _ yes: [String], _ no: [String]) throws {
        let pattern = try TopicPattern(text)
        for name in yes { #expect(pattern.matches(name), "\(name)") }
        for name in no { #expect(!pattern.matches(name), "\(name)") }
    }

    @Test(arguments: [
        "(", ")", "a)", "[", "[]", "[z-a]", "*", "a{", "a{2", "a{3,2}", "(?=a)", #"\"#, #"\p"#, "é", "x{300}",
        "((((x{9}){9}){9}){9})", "(){256}{256}{256}{256}{256}{256}", "(){0,256}{0,256}{0,256}{0,256}{0,256}",
        String(repeating: "(", count: 600), String(repeating: "x", count: 1_025),
    ]) func refuses(_ text: String) { #expect(throws: TopicPatternError.self) { try TopicPattern(text) } }

    /// What would keep a backtracking matcher busy for longer than the universe lasts.
    @Test func takesNoLongerThanItsLength() throws {
        let pattern = try TopicPattern("(a|a)*(a|a)*(a|a)*(aa)*b")
        #expect(!pattern.matches(String(repeating: "a", count: 249)))
    }
}
