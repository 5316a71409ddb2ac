import tseslint from "typescript-eslint";

export default tseslint.config(
  { ignores: ["dist", "src/kernels/*.as.ts", "src/kernels/kernels.wasm.ts", "**/*.js", "**/*.mjs"] },
  tseslint.configs.strictTypeChecked,
  { languageOptions: { parserOptions: { projectService: true } } },
  {
    rules: {
      "@typescript-eslint/no-non-null-assertion": "off", // typed arrays are read inside their bounds
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
      "@typescript-eslint/no-confusing-void-expression": ["error", { ignoreArrowShorthand: true }],
      "@typescript-eslint/no-floating-promises": "off", // `test` of Node
    },
  },
);
