import type { Task, TaskBody } from '../contracts/task.js';
import { escapeBlockTags } from './block-tags.js';

/**
 * What a template sees of a task. What comes from the caller or from retrieval is data: it is neither template
 * nor block.
 */
export function viewOf(task: TaskBody, tier: string, maxOutputTokens: number, context: string): object {
  const criteria = (task.acceptance_criteria ?? []).map(asMaterial);
  const constraints = constraintLines(task.constraints).map(asMaterial);
  const inputs = (task.inputs ?? []).map((input) => ({
    path: asAttribute(input.path),
    language: asAttribute(input.language),
    type: asAttribute(input.type),
    artifact_id: asAttribute(input.artifact_id),
    content: asMaterial(input.content),
  }));
  return {
    task_id: task.task_id,
    domain: task.domain,
    tier,
    max_output_tokens: maxOutputTokens,
    project_id: task.project_id ?? '',
    description: asMaterial(task.description),
    context: asMaterial(context),
    has_acceptance_criteria: criteria.length > 0,
    acceptance_criteria: criteria,
    has_inputs: inputs.length > 0,
    inputs,
    has_constraints: constraints.length > 0,
    constraints,
  };
}

function constraintLines(constraints: Task['constraints']): string[] {
  if (constraints === undefined) return [];
  if (Array.isArray(constraints)) return constraints;
  return Object.entries(constraints).map(
    ([name, value]) => `${name}: ${Array.isArray(value) ? value.join(', ') : String(value)}`,
  );
}

/**
 * Text that can neither open nor close a block of the prompt, nor pass for a control token of a chat template.
 * All other markup stays as it is: it may be the very code that the task is about.
 */
export function asMaterial(text: string): string {
  return escapeBlockTags(text).replace(CONTROL_TOKEN, '&lt;');
}

function asAttribute(text: string | undefined): string {
  return (text ?? '').replace(/["<>\r\n]/g, ' ');
}

const CONTROL_TOKEN = /<(?=\|[a-z_0-9]{2,32}\|>|(?:start|end)_of_(?:turn|image)>|\/?s>|bos>|eos>)/gi;
