import Resources
import Testing

@Suite struct PatternTests {
    @Test(arguments: [
        ("mlx5_0", "mlx5_0", true), ("mlx5_0", "mlx5_00", false), ("mlx5_*", "mlx5_11", true),
        ("mlx5_*", "mlx4_0", false),
        ("*", "", true), ("eth?", "eth1", true), ("eth?", "eth10", false), ("mlx5_[0-3]", "mlx5_2", true),
        ("mlx5_[0-3]", "mlx5_4", false), ("mlx5_[!0-3]", "mlx5_4", true), ("*a*b", "xaxb", true),
        ("*a*b", "xbxa", false),
        ("*a*a*", "a", false), ("[]]", "]", true), ("[a-]", "-", true), ("~mlx5_(0|7)", "mlx5_7", true),
        ("~mlx5_(0|7)", "mlx5_77", false), ("0000:3b:00.?", "0000:3b:00.1", true),
    ])
    func matches(_ source: String, _ text: String, _ expected: Bool) throws {
        #expect(try Pattern(source).matches(text) == expected)
    }

    @Test(arguments: ["", "~(", "~[", "mlx[", "mlx[z-a]", "[]"])
    func refuses(_ source: String) {
        #expect(throws: Reason.self) { try Pattern(source) }
    }

    @Test func literalHasNoSpecialCharacters() {
        #expect(Pattern(literal: "eth*").matches("eth*"))
        #expect(!Pattern(literal: "eth*").matches("eth0"))
    }
}
