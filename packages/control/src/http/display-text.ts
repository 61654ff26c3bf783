/** wire: names hold no HTML tags, nothing that reads as a URL, no control characters. @returns what is wrong */
export function displayTextProblem(text: string): string | null {
  if (text.trim() === '') return 'should not be empty';
  if (/[\u0000-\u001f\u007f-\u009f]/.test(text)) return 'must not contain control characters';
  if (/<\/?[a-z!][^>]*>/i.test(text)) return 'must not contain HTML tags';
  if (/[a-z][a-z0-9+.-]*:\/\//i.test(text) || /\bwww\./i.test(text)) return 'must not contain URLs';
  return null;
}
