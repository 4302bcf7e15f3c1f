/** The models of the peers, as the benchmarks configure them for the service. */
export const tierModels: Readonly<
  Record<string, { readonly model: string; readonly window: number; readonly maxOutputTokens: number }>
> = {
  tiny: { model: 'gemma3:4b', window: 32_768, maxOutputTokens: 9_830 },
  small: { model: 'gemma3:12b', window: 32_768, maxOutputTokens: 9_830 },
  // Windows that hold an output of 1 MB.
  large: { model: 'openai/gpt-oss-20b', window: 1_000_000, maxOutputTokens: 600_000 },
};
