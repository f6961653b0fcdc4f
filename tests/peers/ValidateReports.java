import com.pixelmed.validate.DicomSRValidator;

/** Validates several reports in one virtual machine: reading the rules takes seconds, a report takes a moment. */
public class ValidateReports {
    public static void main(String[] paths) throws Exception {
        DicomSRValidator validator = new DicomSRValidator();
        for (String path : paths) {
            System.out.println("FILE " + path);
            System.out.print(validator.validate(path));
        }
    }
}
